/**
 * Every CPU has a region of its own, writes to it and gives it back (madvise DONTNEED), again and again: in one address space
 * each time is a TLB shootdown to all other CPUs.
 *
 * Like will-it-scale's tlb_flush tests (tlb_flush1 to 3), with one flush for all pages of the region and nothing else.
 */

import type { WorkloadDescription } from "./description.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "tlb_flush",
  summary: "Every CPU touches and gives back pages of its own; gives shootdowns and their targets.",
  phases: ["flush"],
  operation: "one region written to and given back by madvise(MADV_DONTNEED)",
  options: { ...MODE_OPTION, pages: pagesOption(1), ...VERIFY_OPTION },
  stressDefaults: VERIFY_DEFAULTS,
  explore: { operations: 2 },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 1,
  countsShootdowns: true,
  begin: ({ program, pages, verifies, timed }) => {
    const start = program.map(pages);
    return {
      step: () => {
        program.touch(start, pages);
        if (verifies) program.verify(start, pages, program.lastStamp);
        timed(() => program.drop(start, pages));
        return 1;
      },
      end: () => program.unmap(start, pages),
    };
  },
});
