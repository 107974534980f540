/**
 * One simulated CPU: interrupt flag, preemption count, pending interrupts, halt.
 *
 * Interrupts are taken only at poll points: when they are enabled, at the end of each operation, and in every wait.  So
 * data that only this CPU touches needs no atomics, exactly as long as interrupts are off or no handler touches it.
 *
 * Invariants, at rest
 *   C1  preemptCount == 0, hardirqCount == 0, interrupts enabled
 *   C2  a handler returns with the counts it was entered with
 *   C3  NEED_RESCHED is set in the preempt count only while preemption is disabled
 *
 * As on x86, the wish to reschedule is a bit of the preempt count, so that `preemptEnable` tests both in one look.
 *
 * Linux: include/linux/preempt.h, irqflags.h.  Differs: hard interrupts do not nest.
 */

import { bug } from "../memory/bug.ts";
import { CpuControl, cpuControl } from "../memory/control.ts";
import type { Memory } from "../memory/memory.ts";
import { Random } from "../memory/random.ts";
import { shape } from "../memory/shape.ts";
import type { TraceRing } from "../memory/trace.ts";
import { TraceEvent } from "../memory/trace.ts";
import type { Turn } from "../memory/turn.ts";
import type { CpuHooks } from "./cpu-hooks.ts";
import { CPU_STATE_WORDS, CpuState, NEED_RESCHED, PREEMPT_NESTING } from "./cpu-state.ts";
import { KernelStack } from "./kernel-stack.ts";
import { StackFrame } from "./stack-frames.ts";
import { Tlb } from "./tlb.ts";
import { SNOOP, VECTORS } from "./vectors.ts";

const state = CpuState;
const checks = shape.checks;
const broadcasts = shape.shootdown === "broadcast";
/** The timer tick: CONFIG_HZ=250. */
export const TICK_NS = 4_000_000;
/** Operations between two looks at the clock. */
const CLOCK_EVERY = 64;
const NESTING = PREEMPT_NESTING;

export type InterruptHandler = (cpu: Cpu) => void;

export interface CpuParts {
  readonly id: number;
  /** CPUs of the machine, housekeeping ones excluded. */
  readonly cpus: number;
  readonly memory: Memory;
  readonly turn: Turn;
  readonly control: Int32Array;
  readonly states: SharedArrayBuffer;
  readonly trace: TraceRing;
}

export class Cpu {
  declare readonly id: number;
  declare readonly cpus: number;
  declare readonly memory: Memory;
  declare readonly turn: Turn;
  declare readonly random: Random;
  declare readonly trace: TraceRing;
  /** Frames of kernel functions; accounted with `checks`. */
  declare readonly stack: KernelStack;
  declare readonly tlb: Tlb;
  declare private readonly control: Int32Array;
  declare private readonly words: Int32Array;
  declare private readonly doubles: Float64Array;
  declare private readonly base: number;
  declare private readonly pendingWord: number;
  declare private readonly softWord: number;
  private readonly handlers: (InterruptHandler | null)[] = new Array(VECTORS).fill(null);
  private hooks: CpuHooks | null = null;
  private snoop: (() => void) | null = null;

  constructor(parts: CpuParts) {
    this.id = parts.id;
    this.cpus = parts.cpus;
    this.memory = parts.memory;
    this.turn = parts.turn;
    this.trace = parts.trace;
    this.control = parts.control;
    this.words = new Int32Array(parts.states);
    this.doubles = new Float64Array(parts.states);
    this.base = parts.id * CPU_STATE_WORDS;
    this.stack = new KernelStack(parts.memory, parts.id, this.words);
    this.pendingWord = cpuControl(parts.id) + CpuControl.pending;
    this.softWord = cpuControl(parts.id) + CpuControl.softPending;
    this.tlb = new Tlb(parts.states, parts.id);
    this.random = new Random(this.words, this.base + state.random);
    // A closure over this CPU: V8 takes it, and all that hangs on it, for constants.  See docs/decisions/005.
    this.endOperation = () => this.finishOperation();
  }

  /** Power-on state: interrupts enabled, nothing pending. */
  reset(seed: number): void {
    this.words.fill(0, this.base, this.base + CPU_STATE_WORDS);
    this.words[this.base + state.irqsEnabled] = 1;
    this.random.seed(seed, this.id);
    this.tlb.reset();
  }

  /** Installs the handler of `vector`; every worker installs the same. */
  onInterrupt(vector: number, handler: InterruptHandler): void {
    if (this.handlers[vector]) bug(`cpu ${this.id}: vector ${vector} already has a handler`);
    this.handlers[vector] = handler;
  }

  /** Installs what takes messages to the TLB. */
  onSnoop(take: () => void): void {
    this.snoop = take;
  }

  /** Installs what the kernel does between two pieces of work. */
  installHooks(hooks: CpuHooks): void {
    if (this.hooks !== null) bug(`cpu ${this.id}: hooks are installed twice`);
    this.hooks = hooks;
  }

  // ---- interrupt flag ----

  get irqsEnabled(): boolean {
    return this.words[this.base + state.irqsEnabled] !== 0;
  }

  /** Disables interrupts; returns the flag before, for `irqRestore`.  Linux: local_irq_save. */
  irqSave(): number {
    const at = this.base + state.irqsEnabled;
    const before = this.words[at];
    this.words[at] = 0;
    return before;
  }

  /** Linux: local_irq_restore.  What came in meanwhile is taken here. */
  irqRestore(before: number): void {
    this.words[this.base + state.irqsEnabled] = before;
    if (before !== 0 && this.control[this.pendingWord] !== 0) this.takePending();
  }

  irqDisable(): void {
    this.words[this.base + state.irqsEnabled] = 0;
  }

  irqEnable(): void {
    this.irqRestore(1);
  }

  // ---- preemption and context ----

  get preemptCount(): number {
    return this.words[this.base + state.preemptCount] & NESTING;
  }

  preemptDisable(): void {
    this.words[this.base + state.preemptCount]++;
  }

  preemptEnable(): void {
    if (--this.words[this.base + state.preemptCount] < 0) this.preemptEnableSlow();
  }

  /** Calls the kernel as soon as preemption is possible again; it is disabled here.  Linux: set_tsk_need_resched. */
  setNeedResched(): void {
    if (this.preemptCount === 0) bug(`cpu ${this.id}: set_need_resched while preemption is possible`);
    this.words[this.base + state.preemptCount] |= NEED_RESCHED;
  }

  get inInterrupt(): boolean {
    return this.words[this.base + state.hardirqCount] !== 0;
  }

  /** Whether the running code may not sleep.  Linux: in_atomic() || irqs_disabled(). */
  get inAtomic(): boolean {
    const { words, base } = this;
    return (
      (words[base + state.preemptCount] & NESTING) !== 0 ||
      words[base + state.hardirqCount] !== 0 ||
      words[base + state.irqsEnabled] === 0
    );
  }

  /** A bug when called where sleeping is forbidden.  Linux: might_sleep(). */
  mightSleep(where: string): void {
    if (!this.inAtomic) return;
    const irqs = this.irqsEnabled ? 0 : 1;
    bug(
      `BUG: sleeping function called from invalid context at ${where}: in_atomic(): ${this.preemptCount > 0 ? 1 : 0}, ` +
        `irqs_disabled(): ${irqs}, in_interrupt(): ${this.inInterrupt ? 1 : 0}, cpu: ${this.id}, preempt_count: ${this.preemptCount}`,
    );
  }

  /** The task that runs here: a pointer to its `task`, or 0 in the idle loop. */
  get current(): number {
    return this.words[this.base + state.current];
  }
  set current(task: number) {
    this.words[this.base + state.current] = task;
  }

  // ---- interrupts ----

  /** A poll point: takes pending interrupts if they are enabled.  One plain read when there is none. */
  poll(): void {
    if (this.control[this.pendingWord] !== 0 && (broadcasts || this.irqsEnabled)) this.takePending();
  }

  /** Whether an interrupt waits for this CPU, taken or not. */
  get interruptPending(): boolean {
    return Atomics.load(this.control, this.pendingWord) !== 0;
  }

  /** Sends `vector` to `target`; its handler runs on the target's own thread. */
  sendInterrupt(target: number, vector: number): void {
    this.doubles[(this.base + state.ipisSent) >> 1]++;
    this.trace.record(TraceEvent.IPI_SEND, target, vector);
    this.turn.raise(target, vector);
  }

  /** Makes `vector` pending on this CPU itself.  Linux: irq_work_queue. */
  raiseHere(vector: number): void {
    Atomics.or(this.control, this.pendingWord, 1 << vector);
  }

  /** Makes soft interrupt `bit` pending on `target`, which looks at it when it next ends an operation. */
  raiseSoftirq(target: number, bit: number): void {
    Atomics.or(this.control, cpuControl(target) + CpuControl.softPending, bit);
  }

  /** Whether soft interrupts are pending here. */
  get softirqPending(): boolean {
    return this.control[this.softWord] !== 0;
  }

  /** Takes the pending soft interrupts: their bits. */
  takeSoftirqs(): number {
    return Atomics.exchange(this.control, this.softWord, 0);
  }

  /** Interrupts of `vector` taken since boot, here or on `cpu`, which alone counts them: a look from outside is a hint. */
  interruptsTaken(vector: number, cpu = this.id): number {
    return this.doubles[(cpu * CPU_STATE_WORDS + state.interrupts + 2 * vector) >> 1];
  }

  // ---- lock waits, for the hang report ----

  get waitClass(): number {
    return this.control[cpuControl(this.id) + CpuControl.waitClass];
  }
  get waitLock(): number {
    return this.control[cpuControl(this.id) + CpuControl.waitLock];
  }

  /** Says which lock this CPU waits for: its class plus 1 and its address; 0, 0 none. */
  setLockWait(waitClass: number, lock: number): void {
    this.control[cpuControl(this.id) + CpuControl.waitClass] = waitClass;
    this.control[cpuControl(this.id) + CpuControl.waitLock] = lock;
  }

  /** To be called before a wait that is a sleep.  Linux: what schedule() does before it switches.  @may-sleep */
  beforeSleep(): void {
    this.mightSleep("schedule");
    if (checks) this.stack.checkEnds();
    this.hooks?.beforeSleep();
  }

  // ---- time ----

  nowNs(): number {
    return this.turn.nowNs();
  }

  /**
   * The end of an operation: the CPU holds no lock.  Interrupts are taken, the timer ticks, and a used-up slice is given
   * away.
   */
  declare endOperation: () => void;

  /** Waits for an interrupt and takes it.  Linux: default_idle; the tick is stopped meanwhile. */
  halt(timeoutNs = Infinity): void {
    if (!this.irqsEnabled) bug(`cpu ${this.id}: halt with interrupts off`);
    this.enterIdle();
    if (!this.interruptPending) this.turn.park(timeoutNs);
    this.exitIdle();
  }

  /** The first half of a halt, up to the sleep: for a scheduler that sleeps in its own way. */
  enterIdle(): void {
    this.words[this.base + state.idle] = 1;
    this.hooks?.idleEnter();
  }

  /** The second half: interrupts are taken. */
  exitIdle(): void {
    this.hooks?.idleExit();
    this.words[this.base + state.idle] = 0;
    this.poll();
    if (this.control[this.softWord] !== 0 && !this.inAtomic) this.runSoftirqs();
  }

  private finishOperation(): void {
    this.poll();
    if ((++this.words[this.base + state.operations] & (CLOCK_EVERY - 1)) === 0) this.tickIfDue();
    if (this.words[this.base + state.preemptCount] !== 0) {
      if (checks) this.reportHeldAtEnd();
      return;
    }
    if (this.control[this.softWord] !== 0) this.runSoftirqs();
    this.turn.yieldSlice();
  }

  private preemptEnableSlow(): void {
    const at = this.base + state.preemptCount;
    const nesting = this.words[at] & NESTING;
    if (nesting === NESTING) bug(`cpu ${this.id}: preempt_enable without preempt_disable (count -1)`);
    if (nesting !== 0) return;
    this.words[at] = 0;
    this.hooks?.reschedule();
  }

  private tickIfDue(): void {
    const at = (this.base + state.nextTickNs) >> 1;
    const now = this.turn.nowNs();
    if (now < this.doubles[at]) return;
    this.doubles[at] = now + TICK_NS;
    if (this.handlers[0] !== null) {
      this.raiseHere(0);
      this.poll();
    }
  }

  /** On the interrupt stack, as interrupts.  Linux: do_softirq_own_stack. */
  private runSoftirqs(): void {
    if (checks) this.stack.enterInterrupt(StackFrame.SOFTIRQ);
    this.hooks?.runSoftirqs();
    if (checks) this.stack.leaveInterrupt(StackFrame.SOFTIRQ);
  }

  private reportHeldAtEnd(): void {
    bug(`cpu ${this.id}: operation ended with preempt_count ${this.preemptCount}`);
  }

  private takePending(): void {
    if (broadcasts) this.takeMessages();
    if (!broadcasts || (this.control[this.pendingWord] !== 0 && this.irqsEnabled)) this.takeInterrupts();
  }

  private takeMessages(): void {
    if ((this.control[this.pendingWord] & SNOOP) === 0) return;
    Atomics.and(this.control, this.pendingWord, ~SNOOP);
    this.snoop?.();
  }

  private takeInterrupts(): void {
    const { words, base } = this;
    do {
      this.handlePending();
      if (this.control[this.softWord] !== 0 && words[base + state.preemptCount] === 0) this.runSoftirqs();
    } while (this.interruptPending);
    this.turn.interruptsHandled();
  }

  private handlePending(): void {
    const { words, base } = this;
    this.turn.interruptsTaken();
    for (;;) {
      let pending = Atomics.exchange(this.control, this.pendingWord, 0);
      if (broadcasts && (pending & SNOOP) !== 0) {
        pending &= ~SNOOP;
        this.snoop?.();
      }
      if (pending === 0) break;
      words[base + state.irqsEnabled] = 0;
      words[base + state.hardirqCount]++;
      while (pending !== 0) {
        const vector = 31 - Math.clz32(pending & -pending);
        pending &= pending - 1;
        this.doubles[(base + state.interrupts + 2 * vector) >> 1]++;
        this.runHandler(vector);
      }
      words[base + state.hardirqCount]--;
      words[base + state.irqsEnabled] = 1;
    }
  }

  private runHandler(vector: number): void {
    const handler = this.handlers[vector];
    if (handler === null || handler === undefined) bug(`cpu ${this.id}: interrupt ${vector} has no handler`);
    const preemptBefore = this.preemptCount;
    this.trace.record(TraceEvent.IRQ_ENTER, vector, 0);
    if (checks) this.stack.enterInterrupt(StackFrame.INTERRUPT);
    handler(this);
    if (checks) this.stack.leaveInterrupt(StackFrame.INTERRUPT);
    this.trace.record(TraceEvent.IRQ_EXIT, vector, 0);
    if (this.preemptCount !== preemptBefore) {
      bug(
        `cpu ${this.id}: handler of vector ${vector} changed preempt_count ${preemptBefore} -> ${this.preemptCount}`,
      );
    }
  }
}
