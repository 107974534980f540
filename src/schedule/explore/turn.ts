/**
 * The explore policy: one CPU runs at a time, and a strategy decides at every shared access who runs next.
 *
 * The running CPU takes the decision itself and pays for a hand-over only when it really passes the baton.  An execution
 * is a sequence of *steps* (one shared access, wait, wake, interrupt or park each); a *tape* entry (step, cpu) is written
 * for every change of the running CPU, so the tape alone replays the execution.
 *
 * Invariants
 *   E1  exactly one CPU has the baton, from the campaign's start to its end
 *   E2  bit c of `enabled` is set exactly when CPU c is RUNNABLE
 *   E3  the first tape entry has step 0: who began; the steps of the others ascend, one decision a step at most
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { KernelBug, MachineStopped } from "../../memory/bug.ts";
import { CpuControl, cpuControl } from "../../memory/control.ts";
import { Deadlock, StepLimit } from "../../memory/endings.ts";
import { shape } from "../../memory/shape.ts";
import { TraceEvent } from "../../memory/trace.ts";
import type { Turn } from "../../memory/turn.ts";
import { awaitBaton, giveBaton } from "../baton.ts";
import { explore, exploreCpu, exploreCpuBase, MAX_TAPE_ENTRIES, Status } from "./state.ts";
import type { StepLog } from "./step-log.ts";
import { NEVER, type Strategy, TIMED_OUT } from "./strategy.ts";

const shared = explore;
const per = exploreCpu;
const { RUNNABLE, PARKED, ENDED } = Status;
const tracing = shape.trace;

export class ExploreTurn implements Turn {
  readonly spinLimit = 0;
  /** Steps of the present execution. */
  step = 0;
  /** Steps of the execution that ended here, those of its check left out. */
  length = 0;
  /** The step at which a decision is due. */
  next = NEVER;
  private readonly words: Int32Array;
  private readonly tape: Int32Array;
  readonly cpu: number;
  private readonly self: number;
  private readonly cpus: number;
  private strategy: Strategy | null = null;
  private processor: Cpu | null = null;
  /** The execution that this CPU takes part in. */
  private generation = 0;
  private log: StepLog | null = null;

  constructor(options: { control: Int32Array; tape: Int32Array; cpu: number; cpus: number }) {
    this.words = options.control;
    this.tape = options.tape;
    this.cpu = options.cpu;
    this.cpus = options.cpus;
    this.self = exploreCpuBase(options.cpu);
  }

  attach(processor: Cpu): void {
    this.processor = processor;
  }

  /** Where parks are recorded, on a machine that traces. */
  logTo(log: StepLog): void {
    this.log = log;
  }

  /** Outside a campaign (boot, setup) one CPU runs at a time and nothing is decided. */
  enter(): void {
    this.next = NEVER;
  }
  leave(): void {}

  /** Whether an execution goes on: it is not boot, setup or a check that runs. */
  get deciding(): boolean {
    return this.strategy !== null;
  }

  nowNs(): number {
    return this.step;
  }

  // ---- decisions ----

  /** Called at a step that is due: another CPU may run before the access happens. */
  decide(): void {
    const { words } = this;
    if (this.strategy === null) {
      this.next = NEVER;
      return;
    }
    if (this.step >= words[shared.stepLimit])
      throw new StepLimit(`more than ${words[shared.stepLimit]} steps`);
    const chosen = this.pickTimeout(false) ?? this.strategy.pick(words[shared.enabled], this.cpu, this.step);
    if (chosen !== this.cpu) this.handOver(chosen);
    else this.next = Math.min(this.strategy.nextStep(this.step), words[shared.stepLimit]);
  }

  /** Takes no step until enabled; `status` is WAITING or PARKED.  False when a timed wait ran out. */
  block(status: number, timed: boolean): boolean {
    const { words } = this;
    words[this.self + per.status] = status;
    words[this.self + per.timedOut] = 0;
    words[shared.enabled] &= ~(1 << this.cpu);
    if (timed) words[shared.timed] |= 1 << this.cpu;
    this.handOver(this.pickForced());
    return words[this.self + per.timedOut] === 0;
  }

  /** Makes `cpu` able to run.  Its next look at its condition decides whether it goes on. */
  enable(cpu: number): void {
    const { words } = this;
    words[exploreCpuBase(cpu) + per.status] = RUNNABLE;
    words[shared.enabled] |= 1 << cpu;
    words[shared.timed] &= ~(1 << cpu);
    if (this.strategy?.reconsidersOnWake) this.next = this.step + 1;
  }

  // ---- Turn ----

  park(timeoutNs: number): void {
    const { words } = this;
    this.step++;
    if (tracing) this.log?.add(TraceEvent.PARK, 0, 0, 0);
    if (words[this.self + per.kicked] === 0) this.block(PARKED, timeoutNs !== Infinity);
    words[this.self + per.kicked] = 0;
  }

  kick(cpu: number): void {
    const base = exploreCpuBase(cpu);
    if (++this.step >= this.next) this.decide();
    this.words[base + per.kicked] = 1;
    if (this.words[base + per.status] === PARKED) this.enable(cpu);
  }

  relax(): void {
    this.processor?.poll();
    if (this.strategy !== null) {
      this.step++;
      this.strategy.spins(this.cpu);
      this.decide();
    }
  }

  yieldSlice(): void {}

  /** The poll point of a wait. */
  pollInterrupts(): void {
    this.processor?.poll();
  }

  raise(cpu: number, vector: number): void {
    this.signal(cpu, 1 << vector);
  }

  signal(cpu: number, bit: number): void {
    if (++this.step >= this.next) this.decide();
    const pending = cpuControl(cpu) + CpuControl.pending;
    this.words[pending] |= bit;
    const base = exploreCpuBase(cpu);
    this.words[base + per.kicked] = 1;
    const status = this.words[base + per.status];
    if (status === ENDED) this.words[shared.unfinished]++;
    if (status !== RUNNABLE) this.enable(cpu);
  }

  interruptsTaken(): void {}
  interruptsHandled(): void {}

  stopped(): never {
    this.stopDeciding();
    throw new MachineStopped(`cpu ${this.cpu}: the execution has ended`);
  }

  // ---- executions ----

  /** Begins an execution (the baton is here): everyone RUNNABLE, the strategy says who goes first. */
  beginExecution(strategy: Strategy, seed: number): number {
    const { words, cpus } = this;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const base = exploreCpuBase(cpu);
      words[base + per.status] = RUNNABLE;
      words[base + per.kicked] = 0;
      words[base + per.timedOut] = 0;
      words[cpuControl(cpu) + CpuControl.pending] = 0;
      words[cpuControl(cpu) + CpuControl.softPending] = 0;
      words[cpuControl(cpu) + CpuControl.softPending] = 0;
      words[cpuControl(cpu) + CpuControl.waitAddress] = 0;
    }
    words[shared.enabled] = cpus === 31 ? 0x7fffffff : (1 << cpus) - 1;
    words[shared.timed] = 0;
    words[shared.unfinished] = cpus;
    words[shared.generation]++;
    words[shared.step] = 0;
    words[shared.tapeLength] = 0;
    words[shared.seed] = seed;
    strategy.begin(seed, cpus);
    const first = strategy.pick(words[shared.enabled], 0, 0);
    this.record(0, first);
    return first;
  }

  /** This CPU has the baton at the start of its part of an execution. */
  startPart(strategy: Strategy): void {
    this.strategy = strategy;
    this.generation = this.words[shared.generation];
    this.step = this.words[shared.step];
    this.next = Math.min(strategy.nextStep(this.step), this.words[shared.stepLimit]);
  }

  /** Nothing is decided from here on: the oracle runs, or a failure unwinds. */
  stopDeciding(): void {
    if (this.strategy !== null) this.length = this.step;
    this.strategy = null;
    this.next = NEVER;
  }

  /**
   * This CPU's program has ended: it idles.  Returns true when it is the last one to come to rest; otherwise it answers
   * interrupts until all are, and returns false with the baton when the next execution (or the campaign's end) has come.
   */
  endPart(): boolean {
    const { words, processor } = this;
    if (processor?.irqsEnabled === false)
      throw new KernelBug(`cpu ${this.cpu}: its program ended with interrupts off`);
    for (;;) {
      processor?.enterIdle();
      if (!processor?.interruptPending) {
        words[this.self + per.status] = ENDED;
        words[shared.enabled] &= ~(1 << this.cpu);
        if (--words[shared.unfinished] === 0) return true;
        this.handOver(this.pickForced());
        if (words[shared.generation] !== this.generation || words[shared.over] !== 0) return false;
      }
      processor?.exitIdle();
    }
  }

  /** Passes the baton without recording or waiting: between executions. */
  giveBaton(cpu: number): void {
    giveBaton(this.words, exploreCpuBase(cpu) + per.baton);
  }

  /** Sleeps until this CPU has the baton. */
  awaitBaton(): void {
    awaitBaton(this.words, this.self + per.baton);
  }

  /** Everyone leaves: the campaign is over, or an execution failed and all unwind. */
  releaseAll(): void {
    for (let cpu = 0; cpu < this.cpus; cpu++) if (cpu !== this.cpu) this.giveBaton(cpu);
  }

  // ---- hand-over ----

  /**
   * Who runs when this CPU cannot: an enabled CPU, or one whose timed wait runs out.  A step of its own, so that a tape
   * tells it from a decision before the access that came last.
   */
  private pickForced(): number {
    const { words, strategy } = this;
    this.step++;
    if (strategy === null) throw new Deadlock(`cpu ${this.cpu} waits, and no other CPU runs`);
    const late = this.pickTimeout(true);
    if (late !== undefined) return late;
    const enabled = words[shared.enabled];
    if (enabled === 0) throw new Deadlock("deadlock: no CPU can take a step");
    return strategy.pick(enabled, this.cpu, this.step);
  }

  /** A CPU whose timed wait the strategy lets run out; undefined for none. */
  private pickTimeout(forced: boolean): number | undefined {
    const { words, strategy } = this;
    const timed = words[shared.timed];
    if (timed === 0 || strategy === null) return undefined;
    const late = strategy.pickTimeout({ timed, enabled: words[shared.enabled], step: this.step, forced });
    if (late < 0) return undefined;
    words[exploreCpuBase(late) + per.timedOut] = 1;
    words[exploreCpuBase(late) + per.status] = RUNNABLE;
    words[shared.enabled] |= 1 << late;
    words[shared.timed] &= ~(1 << late);
    return late | TIMED_OUT;
  }

  private record(step: number, cpu: number): void {
    const at = this.words[shared.tapeLength]++;
    if (at >= MAX_TAPE_ENTRIES) throw new StepLimit(`more than ${MAX_TAPE_ENTRIES} switches`);
    this.tape[2 * at] = step;
    this.tape[2 * at + 1] = cpu;
  }

  /** Runs `cpu`; returns when this CPU is chosen again. */
  private handOver(cpu: number): void {
    const { words } = this;
    this.record(this.step, cpu);
    const target = cpu & ~TIMED_OUT;
    if (target !== this.cpu) {
      words[shared.step] = this.step;
      this.giveBaton(target);
      this.awaitBaton();
      this.step = words[shared.step];
    }
    if (words[shared.aborted] !== 0) this.stopped();
    if (words[shared.generation] !== this.generation || words[shared.over] !== 0) return;
    this.next = Math.min(this.strategy?.nextStep(this.step) ?? NEVER, words[shared.stepLimit]);
  }
}
