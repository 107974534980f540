/**
 * Every CPU goes through a private mapping of its own file: writes to a page, gives it back (madvise DONTNEED), and looks at it again.
 * What is found then is the file's page again; around it come pages of the file that are
 * cached, so that the next writes are copies, each with a flush of its own.
 *
 * After will-it-scale's tlb_flush1, whose region is a file of 128 MiB.
 */

import type { WorkloadDescription } from "./description.ts";
import { flushesOfPages } from "./parts/page-flushes.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "tlb_flush1",
  summary:
    "Every CPU gives back page after page of a private mapping of its own file (will-it-scale tlb_flush1).",
  phases: ["flush"],
  operation: "one page written to, given back by madvise(MADV_DONTNEED) and read; regions are finished",
  options: { ...MODE_OPTION, pages: pagesOption(128) },
  explore: { operations: 2, options: { pages: 2 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 2,
  hasFiles: true,
  countsShootdowns: true,
  begin: flushesOfPages({
    map: (program, pages) => program.mapFile(pages, false),
    isKept: false,
  }),
});
