/**
 * Every CPU grows the heap and shrinks it again.
 *
 * After will-it-scale's brk1.  CPUs of one address space set the one end of its heap to where they want it, whatever the
 * others want; with heaps of their own, and `verify`, they use the memory in between.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { WorkloadDescription } from "./description.ts";
import { UserProgram, VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import {
  endSpaces,
  MODE_OPTION,
  makeSpaces,
  nameSpaces,
  pagesOption,
  type UserSpaces,
} from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "brk1",
  summary: "Every CPU grows the heap and shrinks it (will-it-scale brk1).",
  phases: ["brk"],
  operation: "one brk that grows and one that shrinks",
  options: { ...MODE_OPTION, pages: pagesOption(1), ...VERIFY_OPTION },
  stressDefaults: VERIFY_DEFAULTS,
};

const HEAP = 0x5555_5555_6000;

export function setup(kernel: Kernel, options: ProgramOptions): UserSpaces {
  const spaces = makeSpaces(kernel, options);
  for (const mm of spaces.mms) kernel.processes.spaces.placeHeap(mm, HEAP);
  return spaces;
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameSpaces(kernel, shared as UserSpaces);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const spaces = shared as UserSpaces;
  const pages = options.pages as number;
  const program = new UserProgram(kernel, spaces);
  const usesHeap = options.verify === true && options.mode === "process";
  program.enter();
  kernel.phase("brk", () => {
    let done = 0;
    for (; kernel.more(done); done++) {
      moveEnd(kernel, program, HEAP + pages * PAGE_BYTES);
      if (usesHeap) {
        program.touch(HEAP, pages);
        program.verify(HEAP, pages, program.lastStamp);
      }
      moveEnd(kernel, program, HEAP);
      kernel.cpu.endOperation();
    }
    return done;
  });
  program.leave();
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  // Whoever came last has set the end to where the heap begins: the heap is empty.
  endSpaces(kernel, shared as UserSpaces);
}

function moveEnd(kernel: Kernel, { mm }: UserProgram, end: number): void {
  const result = kernel.processes.calls.brk(mm, end);
  if (result !== end)
    bug(`cpu ${kernel.cpu.id}: brk to 0x${end.toString(16)} gives 0x${result.toString(16)}`);
}
