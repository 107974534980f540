/**
 * The parallel policy: as many CPUs run at once as there are run tokens; the others sleep on their state word.
 *
 * A token changes hands at the end of a slice, never inside a lock section; when its CPU parks; and after a CPU that was
 * run only to answer an interrupt has answered it.  So a lock holder is almost never off its core, whatever the number
 * of CPUs.  With as many tokens as CPUs (`free`) nobody ever waits for one and the host's scheduler decides.
 *
 *   state of a CPU:
 *
 *       OFF --enter--> RUNNING <----- token -----+
 *                       |   |                    |
 *                     park  slice ends -----> READY
 *                       v                        ^
 *                     PARKED ------- kick -------+      KICKED is sticky beside each
 *
 * Invariants: memory/control I1, I2.  Who is next: a CPU with an interrupt pending, else the one that has used the least
 * host time (as Linux's CFS), a sleeper counting as no poorer than one slice.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { MachineStopped } from "../memory/bug.ts";
import { Control, CpuControl, cpuControl, RunState } from "../memory/control.ts";
import { OffCore, TraceEvent } from "../memory/trace.ts";
import type { Turn } from "../memory/turn.ts";
import { HostClock, type HostMoment } from "./host-clock.ts";

const control = Control;
const cpuWords = CpuControl;
const { OFF, RUNNING, PARKED, READY, KICKED } = RunState;
const BASE = 3;
/** A slice of host time while others wait for a token. */
const SLICE_NS = 1_000_000;
/** Operations between two looks at the slice's clock. */
const LOOK_EVERY = 16;
/** Rounds of `relax` (about 30 ns each) before a waiter parks. */
const SPIN_LIMIT = 200;
const SCHEDULER_SPINS = 100;

const pause: () => void =
  (Atomics as unknown as { pause?: () => void }).pause ??
  (() => {
    // Node before 24 has no pause; an empty call does.
  });

/** After an interrupt, a CPU goes first that is this much poorer: the sender, as a rule. */
const POORER_NS = SLICE_NS / 4;

export interface ParallelOptions {
  readonly control: Int32Array;
  readonly cpu: number;
  /** All CPUs, housekeeping ones included. */
  readonly cpus: number;
  readonly tokens: number;
  readonly origin: HostMoment;
}

export class ParallelTurn implements Turn {
  declare readonly spinLimit: number;
  declare private readonly words: Int32Array;
  declare private readonly doubles: Float64Array;
  declare private readonly cpu: number;
  declare private readonly cpus: number;
  declare private readonly self: number;
  declare private readonly unlimited: boolean;
  declare private readonly clock: HostClock;
  private processor: Cpu | null = null;
  private sliceStartNs = 0;
  private operations = 0;

  constructor(options: ParallelOptions) {
    this.words = options.control;
    this.doubles = new Float64Array(options.control.buffer);
    this.cpu = options.cpu;
    this.cpus = options.cpus;
    this.self = cpuControl(options.cpu);
    this.unlimited = options.tokens >= options.cpus;
    this.spinLimit = options.tokens > 1 ? SPIN_LIMIT : 1;
    this.clock = new HostClock(options.origin);
  }

  /** Writes the scheduler's first state; once, before any CPU enters. */
  static format(words: Int32Array, cpus: number, tokens: number): void {
    words[control.schedulerLock] = 0;
    words[control.freeTokens] = tokens;
    words[control.ready] = 0;
    for (let cpu = 0; cpu < cpus; cpu++) words[cpuControl(cpu) + cpuWords.state] = OFF;
  }

  attach(processor: Cpu): void {
    this.processor = processor;
  }

  nowNs(): number {
    return this.clock.nowNs();
  }

  /** Takes part in the run: waits for a token. */
  enter(): void {
    const { words } = this;
    const at = this.self + cpuWords.state;
    if (this.unlimited) {
      Atomics.store(words, at, RUNNING);
    } else {
      this.lockScheduler();
      const granted = words[control.freeTokens] > 0;
      if (granted) words[control.freeTokens]--;
      else words[control.ready]++;
      this.capCredit(this.cpu);
      Atomics.store(words, at, granted ? RUNNING : READY);
      this.unlockScheduler();
      this.sleepUntilRunning(Infinity, OffCore.WAITS_FOR_TOKEN);
    }
    this.sliceStartNs = this.nowNs();
  }

  /** Leaves the run: gives the token away for good. */
  leave(): void {
    Atomics.store(this.words, this.self + cpuWords.state, OFF);
    if (!this.unlimited) this.giveToken();
  }

  park(timeoutNs: number): void {
    const { words } = this;
    const at = this.self + cpuWords.state;
    if (words[control.panic] !== 0) this.stopped();
    if (Atomics.compareExchange(words, at, RUNNING, PARKED) === RUNNING) {
      this.doubles[(this.self + cpuWords.parks) >> 1]++;
      if (!this.unlimited) this.giveToken();
      this.sleepUntilRunning(timeoutNs, OffCore.PARKED);
      this.sliceStartNs = this.nowNs();
    }
    Atomics.and(words, at, ~KICKED);
  }

  kick(cpu: number): void {
    const before = Atomics.or(this.words, cpuControl(cpu) + cpuWords.state, KICKED);
    if ((before & BASE) === PARKED) this.makeReady(cpu);
  }

  relax(): void {
    pause();
    this.processor?.poll();
    if (this.words[control.panic] !== 0) this.stopped();
  }

  yieldSlice(): void {
    if (this.words[control.panic] !== 0) this.stopped();
    if (this.words[control.ready] === 0 || this.unlimited) return;
    if ((++this.operations & (LOOK_EVERY - 1)) !== 0) return;
    if (this.nowNs() - this.sliceStartNs >= SLICE_NS) this.switchOut(0);
  }

  raise(cpu: number, vector: number): void {
    this.signal(cpu, 1 << vector);
  }

  signal(cpu: number, bit: number): void {
    Atomics.or(this.words, cpuControl(cpu) + cpuWords.pending, bit);
    this.kick(cpu);
  }

  interruptsTaken(): void {}

  /** Straight to a CPU that has not answered yet, or back to whoever waits for the answers. */
  interruptsHandled(): void {
    if (this.unlimited || this.words[control.ready] === 0) return;
    if (this.processor?.preemptCount === 0 && !this.processor.inInterrupt) this.switchOut(POORER_NS);
  }

  stopped(): never {
    throw new MachineStopped(`cpu ${this.cpu}: the machine has stopped`);
  }

  // ---- tokens ----

  /** RUNNING -> READY, if a CPU waits that has an interrupt to answer, or that is poorer by `margin` ns. */
  private switchOut(margin: number): void {
    const { words } = this;
    this.lockScheduler();
    this.charge();
    const next = this.pickReady();
    const mine = this.usedBy(this.cpu);
    if (next < 0 || (!this.isUrgent(next) && this.usedBy(next) + margin > mine)) {
      this.unlockScheduler();
      return;
    }
    Atomics.xor(words, this.self + cpuWords.state, RUNNING ^ READY);
    words[control.ready]++;
    this.run(next);
    this.unlockScheduler();
    this.doubles[(this.self + cpuWords.slices) >> 1]++;
    Atomics.notify(words, cpuControl(next) + cpuWords.state);
    this.sleepUntilRunning(Infinity, OffCore.WAITS_FOR_TOKEN);
    this.sliceStartNs = this.nowNs();
    this.processor?.poll();
  }

  /** This CPU has stopped running: its token goes to the next CPU, or to the pile. */
  private giveToken(): void {
    this.lockScheduler();
    this.charge();
    const next = this.pickReady();
    if (next >= 0) this.run(next);
    else this.words[control.freeTokens]++;
    this.unlockScheduler();
    if (next >= 0 && next !== this.cpu) Atomics.notify(this.words, cpuControl(next) + cpuWords.state);
  }

  /** PARKED -> RUNNING if a token is free, else PARKED -> READY. */
  private makeReady(cpu: number): void {
    const { words } = this;
    const at = cpuControl(cpu) + cpuWords.state;
    if (this.unlimited) {
      let seen = Atomics.load(words, at);
      while ((seen & BASE) === PARKED) {
        const before = Atomics.compareExchange(words, at, seen, RUNNING | (seen & KICKED));
        if (before === seen) break;
        seen = before;
      }
      Atomics.notify(words, at);
      return;
    }
    this.lockScheduler();
    if ((Atomics.load(words, at) & BASE) !== PARKED) {
      this.unlockScheduler();
      return;
    }
    this.capCredit(cpu);
    const granted = words[control.freeTokens] > 0;
    Atomics.xor(words, at, granted ? PARKED ^ RUNNING : PARKED ^ READY);
    if (granted) words[control.freeTokens]--;
    else words[control.ready]++;
    this.unlockScheduler();
    if (granted) Atomics.notify(words, at);
  }

  /** READY -> RUNNING.  Under schedulerLock. */
  private run(next: number): void {
    Atomics.xor(this.words, cpuControl(next) + cpuWords.state, READY ^ RUNNING);
    this.words[control.ready]--;
    const floor = control.usedFloorNs >> 1;
    this.doubles[floor] = Math.max(this.doubles[floor], this.usedBy(next));
  }

  /** The CPU to run next, or -1.  Under schedulerLock. */
  private pickReady(): number {
    const { words } = this;
    if (words[control.ready] === 0) return -1;
    let poorest = -1;
    let urgent = -1;
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      if ((Atomics.load(words, cpuControl(cpu) + cpuWords.state) & BASE) !== READY) continue;
      if (poorest < 0 || this.usedBy(cpu) < this.usedBy(poorest)) poorest = cpu;
      if (this.isUrgent(cpu) && (urgent < 0 || this.usedBy(cpu) < this.usedBy(urgent))) urgent = cpu;
    }
    return urgent >= 0 ? urgent : poorest;
  }

  private isUrgent(cpu: number): boolean {
    return this.words[cpuControl(cpu) + cpuWords.pending] !== 0;
  }

  private usedBy(cpu: number): number {
    return this.doubles[(cpuControl(cpu) + cpuWords.usedNs) >> 1];
  }

  /** Adds this CPU's time with the token since its slice began.  Under schedulerLock. */
  private charge(): void {
    const now = this.nowNs();
    this.doubles[(this.self + cpuWords.usedNs) >> 1] += now - this.sliceStartNs;
    this.sliceStartNs = now;
  }

  /** Who slept long does not thereby earn the machine for long.  Under schedulerLock. */
  private capCredit(cpu: number): void {
    const at = (cpuControl(cpu) + cpuWords.usedNs) >> 1;
    const floor = this.doubles[control.usedFloorNs >> 1] - SLICE_NS;
    if (this.doubles[at] < floor) this.doubles[at] = floor;
  }

  private sleepUntilRunning(timeoutNs: number, reason: number): void {
    const { words } = this;
    const at = this.self + cpuWords.state;
    if ((Atomics.load(words, at) & BASE) === RUNNING) return;
    this.processor?.trace.record(TraceEvent.PARK, reason, 0);
    const deadline = timeoutNs === Infinity ? Infinity : this.nowNs() + timeoutNs;
    for (;;) {
      const seen = Atomics.load(words, at);
      if ((seen & BASE) === RUNNING) break;
      if (Atomics.load(words, control.panic) !== 0) this.stopped();
      const leftMs =
        (seen & BASE) === PARKED && deadline !== Infinity ? (deadline - this.nowNs()) / 1e6 : Infinity;
      if (leftMs <= 0) this.makeReady(this.cpu);
      else Atomics.wait(words, at, seen, leftMs);
    }
    this.processor?.trace.record(TraceEvent.RUN, reason, 0);
  }

  // ---- the scheduler's own lock: a three-state futex (Drepper, "Futexes are tricky", 2011) ----

  private lockScheduler(): void {
    const { words } = this;
    for (let i = 0; i < SCHEDULER_SPINS; i++) {
      if (Atomics.compareExchange(words, control.schedulerLock, 0, 1) === 0) return;
      pause();
    }
    while (Atomics.exchange(words, control.schedulerLock, 2) !== 0) {
      Atomics.wait(words, control.schedulerLock, 2);
    }
  }

  private unlockScheduler(): void {
    if (Atomics.exchange(this.words, control.schedulerLock, 0) === 2) {
      Atomics.notify(this.words, control.schedulerLock, 1);
    }
  }
}
