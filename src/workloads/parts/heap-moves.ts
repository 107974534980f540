/** Heaps of programs: the loop of brk1 and brk2, whose end goes up and down, and allocators over them. */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import { bug, UsageError } from "../../memory/bug.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import type { SpaceLoop, SpacePart } from "./space-workload.ts";
import { UserHeap } from "./user-heap.ts";
import type { UserSpaces } from "./user-space.ts";

/** Where heaps begin. */
export const HEAP = 0x5555_5555_6000;

export function placeHeaps(kernel: Kernel, _options: ProgramOptions, { mms }: UserSpaces): void {
  for (const mm of mms) kernel.processes.spaces.placeHeap(mm, HEAP);
}

/** Up by `pages`, and back to `start`; a heap of the CPU's own is used in between. */
export function movesOfHeap(part: SpacePart, start: number): SpaceLoop {
  const { program, pages, options, verifies } = part;
  const usesHeap = verifies && options.mode === "process";
  return {
    step: () => {
      moveHeapEnd(part, start + pages * PAGE_BYTES);
      if (usesHeap) {
        program.touch(start, pages);
        program.verify(start, pages, program.lastStamp);
      }
      moveHeapEnd(part, start);
      return 1;
    },
  };
}

export function moveHeapEnd({ kernel, program }: SpacePart, end: number): void {
  const result = kernel.processes.calls.brk(program.mm, end);
  if (result !== end)
    bug(`cpu ${kernel.cpu.id}: brk to 0x${end.toString(16)} gives 0x${result.toString(16)}`);
}

/** Bytes of a block at most. */
export const SIZE_LIMIT = 1 << 30;

/** The allocator of this CPU: over the heap of a process of its own, or an arena among those of other threads. */
export function heapOf({ kernel, program, options }: SpacePart): UserHeap {
  return new UserHeap(kernel, program, options.mode === "process" ? HEAP : 0);
}

/** A block that there must be. */
export function takeBlock({ kernel }: SpacePart, heap: UserHeap, bytes: number): number {
  const address = heap.malloc(bytes);
  if (address === 0)
    throw new UsageError(
      `cpu ${kernel.cpu.id}: there is no memory for a block of ${bytes} bytes on this machine`,
    );
  return address;
}
