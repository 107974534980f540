/**
 * The virtual-time policy: one CPU runs at a time, the one whose simulated clock is smallest (ties by CPU number).
 *
 * The running worker compares its clock with a limit, the second smallest, and looks closer only when it passes that.
 * CPUs that wait cost no host work: they sleep until the event, and their clock becomes the event's time.  Interrupts,
 * halts and timeouts happen at simulated times.
 *
 * Invariants
 *   V1  the running CPU's clock is at most `limit` at every marked access, `reach` if the line is its own
 *   V2  a CPU's clock never goes back
 *   V3  at a hand-over the taker's clock is the smallest of all that can run, ties by number
 *
 * Differs from a discrete-event simulator of all accesses: plain accesses run ahead until the next marked one.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { MachineStopped } from "../../memory/bug.ts";
import { Control, CpuControl, cpuControl } from "../../memory/control.ts";
import { Deadlock } from "../../memory/endings.ts";
import type { Turn } from "../../memory/turn.ts";
import { awaitBaton, giveBaton } from "../baton.ts";
import { ClockTree } from "./clock-tree.ts";
import type { Costs } from "./costs.ts";
import { VirtualCpu, VirtualShared, VirtualStatus, virtualCpuBase } from "./state.ts";

const control = Control;
const Shared = VirtualShared;

/**
 * Bounds of `lead`, cycles.  It doubles with each hand-over, so that CPUs which share nothing seldom change places, and
 * falls to the least when a line changes hands by a marked access or an interrupt is sent.
 */
const LEAST_LEAD = 4000;
const MOST_LEAD = 64_000;

const per = VirtualCpu;
const NO_LINE = -1;
const { OFF, RUNNABLE, WAITING, PARKED } = VirtualStatus;

const sharedWord = (offset: number): number => control.serial + offset;

export class VirtualTurn implements Turn {
  readonly spinLimit = 0;
  readonly cpu: number;
  /**
   * Plain accesses that hit since `now` was set.  They are counted, and added when the clock is read: one chain of
   * additions through memory would be what bounds the simulation's speed.
   */
  readHits = 0;
  writeHits = 0;
  /** The clock at which others must be looked at. */
  limit = 0;
  /** The same for accesses to lines of this CPU's own: `limit` and the lead. */
  reach = 0;
  /**
   * The lines that were read and written last, if they are sure to hit: nobody else runs in between, so that only a miss
   * or a hand-over changes what this CPU holds.
   */
  lastRead = NO_LINE;
  lastWritten = NO_LINE;
  private settled = 0;
  private readonly hit: number;
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly cpus: number;
  private readonly self: number;
  private readonly costs: Costs;
  /** Clocks of those that can run; of a timed waiter: its deadline. */
  private readonly clocks: ClockTree;
  private processor: Cpu | null = null;
  private entries = 0;

  constructor(options: {
    control: Int32Array;
    clocks: SharedArrayBuffer;
    cpu: number;
    cpus: number;
    costs: Costs;
  }) {
    this.words = options.control;
    this.hit = options.costs.hit;
    this.doubles = new Float64Array(options.control.buffer);
    this.clocks = new ClockTree(options.clocks, options.cpus);
    this.cpu = options.cpu;
    this.cpus = options.cpus;
    this.self = virtualCpuBase(options.cpu);
    this.costs = options.costs;
  }

  /** This CPU's clock while it runs, cycles. */
  get now(): number {
    return this.settled + (this.readHits + this.writeHits) * this.hit;
  }

  set now(cycles: number) {
    this.settled = cycles;
    this.readHits = 0;
    this.writeHits = 0;
  }

  attach(processor: Cpu): void {
    this.processor = processor;
  }

  nowNs(): number {
    return this.now / this.costs.cyclesPerNs;
  }
  get cyclesPerNs(): number {
    return this.costs.cyclesPerNs;
  }

  /** Takes part in a run of `parties` CPUs.  The last to come lines up all clocks and gives the first turn. */
  enter(parties: number): void {
    const { words } = this;
    words[this.self + per.status] = RUNNABLE;
    words[this.self + per.kicked] = 0;
    if (Atomics.add(words, sharedWord(Shared.joined), 1) + 1 === parties) {
      Atomics.store(words, sharedWord(Shared.joined), 0);
      this.lineUp();
      this.give(this.clocks.first);
    }
    this.resume();
  }

  /** Sets all clocks to the latest. */
  private lineUp(): void {
    const { words, doubles, clocks, cpus } = this;
    let latest = 0;
    for (let cpu = 0; cpu < cpus; cpu++) {
      latest = Math.max(latest, doubles[(virtualCpuBase(cpu) + per.clock) >> 1]);
    }
    clocks.format();
    for (let cpu = 0; cpu < cpus; cpu++) {
      const base = virtualCpuBase(cpu);
      doubles[(base + per.clock) >> 1] = latest;
      if (words[base + per.status] === RUNNABLE) clocks.set(cpu, latest);
    }
  }

  /** Leaves the run; the next CPU goes on. */
  leave(): void {
    const { words } = this;
    // A deadlock or a stop threw out of a wait: the report shows it as it was, and nobody runs any more.
    if (words[this.self + per.status] !== RUNNABLE) return;
    this.doubles[(this.self + per.clock) >> 1] = this.now;
    words[this.self + per.status] = OFF;
    if (words[control.panic] !== 0) return;
    this.clocks.set(this.cpu, Infinity);
    const next = this.clocks.first;
    if (this.clocks.clockOf(next) < Infinity) this.give(next);
  }

  // ---- who runs ----

  /** A marked access, and this CPU's clock has reached the limit: the CPU with the smallest clock goes first. */
  look(): void {
    const { clocks } = this;
    clocks.set(this.cpu, this.now);
    const next = clocks.first;
    if (next === this.cpu) {
      this.setLimit(clocks.secondClock());
      return;
    }
    const due = clocks.clockOf(next);
    if (this.now < due || (this.now === due && this.cpu < next)) {
      this.setLimit(due);
      return;
    }
    this.handOver(next);
  }

  /** Sleeps as `status` until made able to run, or until `deadline` (cycles).  False when the deadline came. */
  private block(status: number, deadline: number): boolean {
    const { words, doubles, clocks } = this;
    words[this.self + per.status] = status;
    words[this.self + per.timedOut] = 0;
    doubles[(this.self + per.waitClock) >> 1] = this.now;
    doubles[(cpuControl(this.cpu) + CpuControl.parks) >> 1]++;
    clocks.set(this.cpu, deadline);
    const next = clocks.first;
    if (clocks.clockOf(next) === Infinity)
      throw new Deadlock(`deadlock at cycle ${Math.round(this.now)}: no CPU can run`);
    if (next === this.cpu) this.expire();
    else {
      this.handOver(next);
    }
    return words[this.self + per.timedOut] === 0;
  }

  /** Makes `cpu` able to run from cycle `time` on. */
  private enable(cpu: number, time: number): void {
    const { words, doubles } = this;
    const base = virtualCpuBase(cpu);
    words[base + per.status] = RUNNABLE;
    const clock = Math.max(doubles[(base + per.waitClock) >> 1], time);
    this.clocks.set(cpu, clock);
    if (clock < this.limit) this.setLimit(clock);
  }

  private setLimit(limit: number): void {
    this.limit = limit;
    this.reach = limit + this.doubles[sharedWord(Shared.lead) >> 1];
  }

  /** What this CPU holds has changed. */
  forgetLines(): void {
    this.lastRead = NO_LINE;
    this.lastWritten = NO_LINE;
  }

  /** CPUs have to do with each other: nobody may run far ahead. */
  stayClose(): void {
    this.doubles[sharedWord(Shared.lead) >> 1] = LEAST_LEAD;
    this.reach = this.limit + LEAST_LEAD;
  }

  /** Gives the baton to the earliest CPU, with the next one's clock as its limit. */
  private give(next: number): void {
    const { doubles } = this;
    doubles[sharedWord(Shared.limit) >> 1] = this.clocks.secondClock();
    const lead = sharedWord(Shared.lead) >> 1;
    doubles[lead] = Math.min(Math.max(2 * doubles[lead], LEAST_LEAD), MOST_LEAD);
    giveBaton(this.words, virtualCpuBase(next) + per.baton);
  }

  /** Lets `next` run; returns when it is this CPU's turn again. */
  private handOver(next: number): void {
    this.doubles[(cpuControl(this.cpu) + CpuControl.slices) >> 1]++;
    this.give(next);
    this.resume();
  }

  /** Sleeps until this CPU has the baton, then goes on at its clock. */
  private resume(): void {
    const { words } = this;
    awaitBaton(words, this.self + per.baton, control.panic);
    this.forgetLines();
    if (words[control.panic] !== 0) this.stopped();
    if (words[this.self + per.status] === RUNNABLE) this.now = this.clocks.clockOf(this.cpu);
    else this.expire();
    this.setLimit(this.doubles[sharedWord(Shared.limit) >> 1]);
  }

  /** A timed wait has reached its deadline. */
  private expire(): void {
    this.now = this.clocks.clockOf(this.cpu);
    this.setLimit(this.clocks.secondClock());
    this.words[this.self + per.status] = RUNNABLE;
    this.words[this.self + per.timedOut] = 1;
  }

  // ---- waits on addresses (called by the memory) ----

  /**
   * Sleeps on the address that the memory has published; false when `timeoutNs` ran out.  Not at all after a kick: an
   * interrupt may have come between this CPU's last look at its pending word and now, while it had given the turn away.
   */
  waitForWake(timeoutNs: number): boolean {
    const { words } = this;
    if (words[this.self + per.kicked] !== 0) {
      words[this.self + per.kicked] = 0;
      return true;
    }
    this.words[sharedWord(Shared.waiting)]++;
    const inTime = this.block(WAITING, this.now + timeoutNs * this.costs.cyclesPerNs);
    this.words[sharedWord(Shared.waiting)]--;
    return inTime;
  }

  get anyoneWaits(): boolean {
    return this.words[sharedWord(Shared.waiting)] !== 0;
  }

  isWaiting(cpu: number): boolean {
    return this.words[virtualCpuBase(cpu) + per.status] === WAITING;
  }

  /** Ends `cpu`'s wait at this CPU's time; it pays for the transfer when it looks at the word itself. */
  endWait(cpu: number): void {
    this.enable(cpu, this.now);
  }

  // ---- Turn ----

  park(timeoutNs: number): void {
    const { words } = this;
    if (words[this.self + per.kicked] === 0)
      this.block(PARKED, this.now + timeoutNs * this.costs.cyclesPerNs);
    words[this.self + per.kicked] = 0;
  }

  kick(cpu: number): void {
    const base = virtualCpuBase(cpu);
    this.words[base + per.kicked] = 1;
    if (this.words[base + per.status] === PARKED) this.enable(cpu, this.now);
  }

  relax(): void {
    this.now += this.costs.pause;
    this.processor?.poll();
    if (this.now >= this.limit) this.look();
    if (this.words[control.panic] !== 0) this.stopped();
  }

  yieldSlice(): void {
    if (this.words[control.panic] !== 0) this.stopped();
  }

  raise(cpu: number, vector: number): void {
    this.now += this.costs.ipiSend;
    this.stayClose();
    if (this.now >= this.limit) this.look();
    const arrival = this.now + this.costs.ipiDeliver;
    const base = virtualCpuBase(cpu);
    this.words[cpuControl(cpu) + CpuControl.pending] |= 1 << vector;
    const at = (base + per.arrival) >> 1;
    this.doubles[at] = Math.max(this.doubles[at], arrival);
    this.words[base + per.kicked] = 1;
    const status = this.words[base + per.status];
    if (status === PARKED || status === WAITING) this.enable(cpu, arrival);
  }

  signal(cpu: number, bit: number): void {
    this.stayClose();
    if (this.now >= this.limit) this.look();
    const base = virtualCpuBase(cpu);
    this.words[cpuControl(cpu) + CpuControl.pending] |= bit;
    this.words[base + per.kicked] = 1;
    const status = this.words[base + per.status];
    if (status === PARKED || status === WAITING) this.enable(cpu, this.now);
  }

  /** The CPU takes what is pending: not before it has arrived. */
  interruptsTaken(): void {
    this.entries++;
    this.now = Math.max(this.now, this.doubles[(this.self + per.arrival) >> 1]) + this.costs.interruptEntry;
  }

  /** Every entry since the last end ends here. */
  interruptsHandled(): void {
    this.now += this.entries * this.costs.interruptAcknowledge;
    this.entries = 0;
  }

  /** The poll point of a wait. */
  pollInterrupts(): void {
    this.processor?.poll();
  }

  stopped(): never {
    throw new MachineStopped(`cpu ${this.cpu}: the machine has stopped`);
  }
}
