/**
 * Every CPU maps a region and unmaps it untouched: changes of the address space alone.
 *
 * After will-it-scale's mmap1, whose region is 128 MiB; the size hardly matters, for no page is there.
 */

import type { WorkloadDescription } from "./description.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "mmap1",
  summary: "Every CPU maps a region and unmaps it untouched (will-it-scale mmap1).",
  phases: ["mmap"],
  operation: "one mmap and one munmap",
  options: { ...MODE_OPTION, pages: pagesOption(128) },
  explore: { operations: 2, options: { pages: 2 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 0,
  begin: ({ program, pages }) => ({
    step: () => {
      program.unmap(program.map(pages), pages);
      return 1;
    },
  }),
});
