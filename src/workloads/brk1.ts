/**
 * Every CPU grows the heap and shrinks it again.
 *
 * After will-it-scale's brk1.  CPUs of one address space set the one end of its heap to where they want it, whatever the
 * others want; with heaps of their own, and `verify`, they use the memory in between.
 */

import type { WorkloadDescription } from "./description.ts";
import { HEAP, movesOfHeap, placeHeaps } from "./parts/heap-moves.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "brk1",
  summary: "Every CPU grows the heap and shrinks it (will-it-scale brk1).",
  phases: ["brk"],
  operation: "one brk that grows and one that shrinks",
  options: { ...MODE_OPTION, pages: pagesOption(1), ...VERIFY_OPTION },
  stressDefaults: VERIFY_DEFAULTS,
  explore: { operations: 2, options: { pages: 2 } },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 1,
  prepare: placeHeaps,
  begin: (part) => movesOfHeap(part, HEAP),
});
