/**
 * The frame of workloads in which every CPU does the same to an address space, again and again, after will-it-scale's tests: address
 * spaces for all CPUs or one for each, a timed loop, shootdowns counted where that is asked for, and nothing left at the end.
 */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import { LINE_WORDS, NULL, type Pointer } from "../../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "../description.ts";
import { nameWords } from "./named.ts";
import { freeScratch, takeScratch } from "./scratch.ts";
import { freeTally, nameTally, ShootdownTally, type TallyRoom, takeTally } from "./shootdown-tally.ts";
import { UserProgram } from "./user-program.ts";
import { endSpaces, makeSpaces, nameSpaces, requireRoom, type UserSpaces } from "./user-space.ts";

/** One CPU's part of a run. */
export interface SpacePart {
  readonly kernel: Kernel;
  readonly options: ProgramOptions;
  readonly program: UserProgram;
  /** Option `pages`, 0 without one. */
  readonly pages: number;
  /** Option `verify`. */
  readonly verifies: boolean;
  /** Runs a call; its time is counted where shootdowns are. */
  timed(call: () => void): void;
  /** Words of RAM that a CPU has for all to see, zeros at first; see `words`. */
  wordsOf(cpu: number): Pointer;
}

/** What one CPU does. */
export interface SpaceLoop {
  /** Once more; how many operations it was. */
  step(): number;
  /** After all CPUs' last step, and after the count. */
  end?(): void;
}

export interface SpaceWorkload {
  /** With one phase. */
  readonly describe: WorkloadDescription;
  /** So many times option `pages` each CPU has touched at once, pages of its file counted. */
  readonly regions: number;
  /** Each CPU has a memory file of as many pages as option `pages` says, all holes at first. */
  readonly hasFiles?: boolean;
  /** Gives the metrics of shootdown-tally. */
  readonly countsShootdowns?: boolean;
  /** Words of RAM of each CPU, outside of all address spaces. */
  readonly words?: (options: ProgramOptions) => number;
  /** On the address spaces before the run. */
  readonly prepare?: (kernel: Kernel, options: ProgramOptions, spaces: UserSpaces) => void;
  /** On each CPU, in its address space. */
  readonly begin: (part: SpacePart) => SpaceLoop;
}

interface Shared {
  readonly spaces: UserSpaces;
  readonly tally: TallyRoom | null;
  /** Each CPU's words, which begin with a line; 0 for none. */
  readonly words: Pointer;
}

/** What a workload's module exports besides its description. */
export interface WorkloadFunctions {
  setup(kernel: Kernel, options: ProgramOptions): unknown;
  attach(kernel: Kernel, options: ProgramOptions, shared: unknown): void;
  run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue | null;
  check(kernel: Kernel, options: ProgramOptions, values: readonly unknown[], shared: unknown): void;
}

export function spaceWorkload(workload: SpaceWorkload): WorkloadFunctions {
  const { describe, regions, hasFiles = false, countsShootdowns = false, prepare } = workload;
  return {
    setup(kernel: Kernel, options: ProgramOptions): Shared {
      const { pages = 0 } = options;
      if (regions > 0) requireRoom(kernel, describe.name, pages as number, regions);
      const tally = countsShootdowns ? takeTally(kernel) : null;
      const stride = strideOf(workload, options);
      const words = stride === 0 ? NULL : takeScratch(kernel, stride * kernel.cpus);
      const spaces = makeSpaces(kernel, options, {
        files: hasFiles ? kernel.cpus : 0,
        filePages: pages as number,
      });
      prepare?.(kernel, options, spaces);
      return { tally, words, spaces };
    },
    attach(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
      const { spaces, tally, words } = shared as Shared;
      nameSpaces(kernel, spaces);
      if (words !== NULL) nameWords(kernel, "states", words, strideOf(workload, options) * kernel.cpus);
      if (tally !== null) nameTally(kernel, tally);
    },
    run: (kernel, options, shared) => runLoop(workload, kernel, options, shared as Shared),
    check(kernel: Kernel, options: ProgramOptions, _values: readonly unknown[], shared: unknown): void {
      const { spaces, tally, words } = shared as Shared;
      endSpaces(kernel, spaces);
      if (tally !== null) freeTally(kernel, tally);
      if (words !== NULL) freeScratch(kernel, words, strideOf(workload, options) * kernel.cpus);
    },
  };
}

/** Words from one CPU's to the next one's. */
function strideOf({ words }: SpaceWorkload, options: ProgramOptions): number {
  return Math.ceil((words?.(options) ?? 0) / LINE_WORDS) * LINE_WORDS;
}

function runLoop(
  workload: SpaceWorkload,
  kernel: Kernel,
  options: ProgramOptions,
  { spaces, tally: room, words }: Shared,
): MetricsValue | null {
  const { describe, begin } = workload;
  const stride = strideOf(workload, options);
  const program = new UserProgram(kernel, spaces);
  const tally = room === null ? null : new ShootdownTally(kernel, room);
  program.enter();
  const loop = begin({
    kernel,
    options,
    program,
    pages: (options.pages ?? 0) as number,
    verifies: options.verify === true,
    timed: tally === null ? (call) => call() : (call) => tally.timed(call),
    wordsOf: (cpu) => words + cpu * stride,
  });
  let done = 0;
  kernel.phase(describe.phases[0], () => {
    while (kernel.more(done)) {
      done += loop.step();
      kernel.cpu.endOperation();
    }
    return done;
  });
  const metrics = tally?.finish(done) ?? null;
  if (loop.end !== undefined) {
    kernel.gate();
    loop.end();
  }
  program.leave();
  return metrics;
}
