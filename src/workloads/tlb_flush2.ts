/**
 * Every CPU goes through private anonymous memory: writes to a page, gives it back (madvise DONTNEED), and looks at it again.
 * What is found then is zero.
 *
 * After will-it-scale's tlb_flush2, whose region is 1 MiB.
 */

import type { WorkloadDescription } from "./description.ts";
import { flushesOfPages } from "./parts/page-flushes.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "tlb_flush2",
  summary: "Every CPU gives back page after page of private anonymous memory (will-it-scale tlb_flush2).",
  phases: ["flush"],
  operation: "one page written to, given back by madvise(MADV_DONTNEED) and read; regions are finished",
  options: { ...MODE_OPTION, pages: pagesOption(256) },
  explore: { operations: 2, options: { pages: 2 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 1,
  countsShootdowns: true,
  begin: flushesOfPages({
    map: (program, pages) => program.map(pages),
    isKept: false,
  }),
});
