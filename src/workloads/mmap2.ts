/**
 * Every CPU maps a memory file of its own and unmaps it untouched: changes of the address space, and of the file's tree of mappings.
 *
 * After will-it-scale's mmap2, whose file is 128 MiB; the size hardly matters, for no page is there.
 */

import type { WorkloadDescription } from "./description.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "mmap2",
  summary: "Every CPU maps a memory file of its own and unmaps it untouched (will-it-scale mmap2).",
  phases: ["mmap"],
  operation: "one mmap and one munmap",
  options: { ...MODE_OPTION, pages: pagesOption(128) },
  explore: { operations: 2, options: { pages: 2 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 0,
  hasFiles: true,
  begin: ({ program, pages }) => ({
    step: () => {
      program.unmap(program.mapFile(pages, false), pages);
      return 1;
    },
  }),
});
