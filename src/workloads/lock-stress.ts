/**
 * Locks of every kind at random: sections that write and read, try first, hold a sleeping lock around a spinning one,
 * and run in another CPU's interrupt.  Every lock guards a pair of words; no update may be lost.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import type { WorkloadDescription } from "./description.ts";
import { BusyLoop } from "./parts/busy-loop.ts";
import { calledFunction } from "./parts/call-target.ts";
import { GuardedPair } from "./parts/guarded-pair.ts";
import { nameSection } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";
import { formatLock, LOCK_WORDS, SECTION_KINDS, type Section, sectionOf } from "./parts/section.ts";

export const describe: WorkloadDescription = {
  name: "lock-stress",
  summary: "Random locks of every kind: reads, writes, attempts, nesting, and sections in interrupts.",
  phases: ["stress"],
  operation: "one section, or two nested ones, or an attempt",
  options: {
    locks: { type: "integer", default: 2, min: 1, max: 32, help: "locks of each kind" },
    hold: { type: "number", default: 200, min: 0, max: 1e6, help: "ns inside a section, at most" },
    interrupts: {
      type: "integer",
      default: 50,
      min: 0,
      max: 1000,
      help: "of 1000 operations, calls to others",
    },
  },
  stress: true,
};

/** A lock, and its pair on a line of its own. */
const STRIDE = LOCK_WORDS + 16;
const KINDS = SECTION_KINDS.length;
const IRQ_SAFE = SECTION_KINDS.indexOf("spin-irq");
const SLEEPING = ["mutex", "rwsem", "semaphore"].map((kind) =>
  SECTION_KINDS.indexOf(kind as (typeof SECTION_KINDS)[number]),
);
const SPINNING = ["spin", "rwlock", "seqlock"].map((kind) =>
  SECTION_KINDS.indexOf(kind as (typeof SECTION_KINDS)[number]),
);

export function setup(kernel: Kernel, options: ProgramOptions): Pointer {
  const count = (options.locks as number) * KINDS;
  const start = takeScratch(kernel, count * STRIDE);
  for (let i = 0; i < count; i++) formatLock(kernel, SECTION_KINDS[i % KINDS], start + i * STRIDE);
  return start;
}

export function attach(kernel: Kernel, options: ProgramOptions, shared: unknown): void {
  const count = (options.locks as number) * KINDS;
  for (let i = 0; i < count; i++) {
    const kind = SECTION_KINDS[i % KINDS];
    nameSection(kernel, `${kind} ${Math.floor(i / KINDS)}`, kind, (shared as Pointer) + i * STRIDE);
  }
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): { updates: number[] } {
  const { cpu } = kernel;
  const stress = new LockStress(kernel, options, shared as Pointer);
  kernel.gate();
  kernel.phase("stress", () => {
    let done = 0;
    while (kernel.more(done)) {
      stress.step();
      done++;
      cpu.endOperation();
    }
    return done;
  });
  // Others may still call this CPU.
  kernel.gate();
  return { updates: stress.updates };
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const start = shared as Pointer;
  const count = (options.locks as number) * KINDS;
  for (let i = 0; i < count; i++) {
    const made = values.reduce((sum: number, v) => sum + (v as { updates: number[] }).updates[i], 0);
    const found = kernel.memory.read(start + i * STRIDE + LOCK_WORDS);
    if (found !== made)
      bug(`${SECTION_KINDS[i % KINDS]} lock ${i}: ${found} updates arrived, ${made} were made`);
  }
  freeScratch(kernel, start, count * STRIDE);
}

/** One CPU's part. */
class LockStress {
  /** Updates that this CPU has made, by lock. */
  readonly updates: number[];
  private readonly kernel: Kernel;
  private readonly sections: Section[] = [];
  private readonly locks: number;
  private readonly interrupts: number;
  private readonly called: ReturnType<typeof calledFunction>;

  constructor(kernel: Kernel, options: ProgramOptions, start: Pointer) {
    const { cpu, memory } = kernel;
    this.kernel = kernel;
    this.locks = options.locks as number;
    this.interrupts = options.interrupts as number;
    const busy = new BusyLoop(cpu, memory);
    for (let i = 0; i < this.locks * KINDS; i++) {
      const lock = start + i * STRIDE;
      const holdLinks = busy.linksFor(((options.hold as number) * cpu.random.below(1000)) / 1000);
      const pair = new GuardedPair(memory, busy, lock + LOCK_WORDS, holdLinks);
      this.sections.push(sectionOf(kernel, SECTION_KINDS[i % KINDS], lock, pair));
    }
    this.updates = new Array(this.sections.length).fill(0);
    this.called = calledFunction(kernel, "update under a lock");
    this.called.run = (index) => this.write(index);
  }

  step(): void {
    const { cpu, cpus, calls } = this.kernel;
    const what = cpu.random.below(1000);
    if (what < this.interrupts) {
      calls.single(cpu.random.below(cpus), this.called.id, this.pick(IRQ_SAFE), true);
    } else if (what < 400) this.write(this.any());
    else if (what < 700) this.sections[this.any()].read();
    else if (what < 850) this.attempt(this.any());
    else this.nested();
  }

  private write(index: number): void {
    this.sections[index].write();
    this.updates[index]++;
  }

  private attempt(index: number): void {
    const section = this.sections[index];
    if (!section.tryEnter()) return;
    section.pair.update();
    section.leave();
    this.updates[index]++;
  }

  /** A spinning lock inside a sleeping one, and an irq-safe one inside both: always in this order. */
  private nested(): void {
    const outer = this.pick(SLEEPING[this.kernel.cpu.random.below(SLEEPING.length)]);
    const inner = this.pick(SPINNING[this.kernel.cpu.random.below(SPINNING.length)]);
    this.sections[outer].enter();
    this.sections[outer].pair.update();
    this.sections[inner].enter();
    this.sections[inner].pair.update();
    this.write(this.pick(IRQ_SAFE));
    this.sections[inner].leave();
    this.sections[outer].leave();
    this.updates[outer]++;
    this.updates[inner]++;
  }

  private any(): number {
    return this.kernel.cpu.random.below(this.sections.length);
  }

  /** A lock of one kind. */
  private pick(kind: number): number {
    return this.kernel.cpu.random.below(this.locks) * KINDS + kind;
  }
}
