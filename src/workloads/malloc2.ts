/**
 * Every CPU takes a small block by malloc and frees it: the program's own heap, which asks the kernel once.
 *
 * After will-it-scale's malloc2, whose block has 1 KiB; the allocator is parts/user-heap.ts.
 */

import type { WorkloadDescription } from "./description.ts";
import { heapOf, placeHeaps, SIZE_LIMIT, takeBlock } from "./parts/heap-moves.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { MODE_OPTION } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "malloc2",
  summary: "Every CPU takes a small block by malloc and frees it (will-it-scale malloc2).",
  phases: ["malloc"],
  operation: "one malloc and one free",
  options: {
    ...MODE_OPTION,
    size: { type: "integer", default: 1024, min: 1, max: SIZE_LIMIT, help: "bytes of a block" },
  },
  explore: { operations: 2 },
};

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 0,
  prepare: placeHeaps,
  begin: (part) => {
    const heap = heapOf(part);
    return {
      step: () => {
        heap.free(takeBlock(part, heap, part.options.size as number));
        return 1;
      },
      end: () => heap.finish(),
    };
  },
});
