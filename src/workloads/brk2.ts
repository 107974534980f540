/**
 * Every CPU grows a heap that is there, and shrinks it again: the heap's VMA grows and is cut, where brk1's comes and goes.
 *
 * After will-it-scale's brk2: before, each CPU has set the end of the heap behind a piece of its own.  So CPUs of one
 * address space now grow the heap over each other's pieces, and now cut them off.
 */

import { PAGE_BYTES } from "../memory/units.ts";
import type { WorkloadDescription } from "./description.ts";
import { HEAP, moveHeapEnd, movesOfHeap, placeHeaps } from "./parts/heap-moves.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import { MODE_OPTION, pagesOption } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "brk2",
  summary: "Every CPU grows a heap that is there and shrinks it (will-it-scale brk2).",
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
  begin: (part) => {
    const pieces = part.options.mode === "process" ? 1 : part.kernel.cpu.id + 1;
    const start = HEAP + pieces * part.pages * PAGE_BYTES;
    moveHeapEnd(part, start);
    // Whoever comes last: the heap is empty.
    return { ...movesOfHeap(part, start), end: () => moveHeapEnd(part, HEAP) };
  },
});
