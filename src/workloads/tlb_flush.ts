/**
 * Every CPU has a page of its own, writes to it and gives it back (madvise DONTNEED), again and again: in one address space
 * each time is a TLB shootdown to all other CPUs.
 *
 * Like will-it-scale's tlb_flush tests.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { Madvice } from "../process/madvise.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { freeTally, nameTally, ShootdownTally, type TallyRoom, takeTally } from "./parts/shootdown-tally.ts";
import { UserProgram, VERIFY_DEFAULTS, VERIFY_OPTION } from "./parts/user-program.ts";
import {
  endSpaces,
  MODE_OPTION,
  makeSpaces,
  nameSpaces,
  pagesOption,
  requireRoom,
  type UserSpaces,
} from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "tlb_flush",
  summary: "Every CPU touches and gives back pages of its own; gives shootdowns and their targets.",
  phases: ["flush"],
  operation: "one region written to and given back by madvise(MADV_DONTNEED)",
  options: { ...MODE_OPTION, pages: pagesOption(1), ...VERIFY_OPTION },
  stressDefaults: VERIFY_DEFAULTS,
};

interface Shared {
  readonly spaces: UserSpaces;
  readonly tally: TallyRoom;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  requireRoom(kernel, describe.name, options.pages as number, 1);
  const tally = takeTally(kernel);
  return { tally, spaces: makeSpaces(kernel, options) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameSpaces(kernel, (shared as Shared).spaces);
  nameTally(kernel, (shared as Shared).tally);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue | null {
  const { spaces, tally: room } = shared as Shared;
  const { calls } = kernel.processes;
  const pages = options.pages as number;
  const program = new UserProgram(kernel, spaces);
  const tally = new ShootdownTally(kernel, room);
  const { mm } = program;
  program.enter();
  const start = program.map(pages);
  let done = 0;
  kernel.phase("flush", () => {
    for (; kernel.more(done); done++) {
      program.touch(start, pages);
      if (options.verify === true) program.verify(start, pages, program.lastStamp);
      tally.timed(() => {
        const result = calls.madvise(mm, start, pages * PAGE_BYTES, Madvice.DONTNEED);
        if (result !== 0) bug(`cpu ${kernel.cpu.id}: madvise gives ${result}`);
      });
      kernel.cpu.endOperation();
    }
    return done;
  });
  const metrics = tally.finish(done);
  // Unmapping comes after the count.
  kernel.gate();
  program.unmap(start, pages);
  program.leave();
  return metrics;
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { spaces, tally } = shared as Shared;
  endSpaces(kernel, spaces);
  freeTally(kernel, tally);
}
