/**
 * Every CPU enters one critical section again and again: how a lock behaves under contention.
 *
 * A section lasts `hold` ns and is followed by `think` ns outside, both busy and touching no shared memory, so what is
 * measured is the lock.  Which spinlock it is, the machine's `lock` setting says.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import type { WorkloadDescription } from "./description.ts";
import { BusyLoop } from "./parts/busy-loop.ts";
import { GuardedPair } from "./parts/guarded-pair.ts";
import { nameSection } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";
import { formatLock, LOCK_WORDS, SECTION_KINDS, type SectionKind, sectionOf } from "./parts/section.ts";

export const describe: WorkloadDescription = {
  name: "lock",
  summary: "Every CPU takes one lock, works, gives it back, and works outside.",
  phases: ["sections"],
  operation: "one critical section",
  options: {
    kind: { type: "choice", default: "spin", choices: SECTION_KINDS, help: "what kind of lock" },
    hold: { type: "number", default: 500, min: 0, max: 1e6, help: "ns inside the section" },
    think: { type: "number", default: 2300, min: 0, max: 1e6, help: "ns between two sections" },
    reads: { type: "number", default: 0, min: 0, max: 1, help: "part of the sections that only read" },
  },
};

/** The lock, and the two words that it guards on a cache line of their own. */
const WORDS = LOCK_WORDS + 2;
const READS_SCALE = 0x1_0000;

export function setup(kernel: Kernel, options: ProgramOptions): Pointer {
  const lock = takeScratch(kernel, WORDS);
  formatLock(kernel, options.kind as SectionKind, lock);
  return lock;
}

export function attach(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  nameSection(kernel, "lock", options.kind as SectionKind, shared as Pointer);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): { updates: number } {
  const { cpu, memory } = kernel;
  const lock = shared as Pointer;
  const busy = new BusyLoop(cpu, memory);
  const think = busy.linksFor(options.think as number);
  const pair = new GuardedPair(memory, busy, lock + LOCK_WORDS, busy.linksFor(options.hold as number));
  const section = sectionOf(kernel, options.kind as SectionKind, lock, pair);
  const reads = (options.reads as number) * READS_SCALE;
  let updates = 0;
  kernel.phase("sections", () => {
    let done = 0;
    while (kernel.more(done)) {
      if (reads > 0 && cpu.random.below(READS_SCALE) < reads) section.read();
      else {
        section.write();
        updates++;
      }
      done++;
      busy.spin(think);
      cpu.endOperation();
    }
    return done;
  });
  return { updates };
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const lock = shared as Pointer;
  const found = kernel.memory.read(lock + LOCK_WORDS);
  const expected = values.reduce((sum: number, value) => sum + (value as { updates: number }).updates, 0) | 0;
  if (found !== expected) bug(`${options.kind}: ${found} updates arrived, the CPUs made ${expected}`);
  freeScratch(kernel, lock, WORDS);
}
