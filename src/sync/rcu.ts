/**
 * RCU as one CPU uses it: read sections, waiting for grace periods, callbacks.
 *
 * A read section is a region with preemption disabled, so it costs what that costs: the preempt count tells an interrupt
 * whether it has found a reader.  A CPU drops itself from the holdouts of a grace period
 *   - when an operation ends, if it has been asked,
 *   - when the RCU interrupt finds preemption possible; if not, the interrupt leaves NEED_RESCHED behind and the end of
 *     the section does it,
 *   - when it goes idle, where it needs not be asked at all.
 * Callbacks run when operations end and after interrupts, never inside a section, and may not sleep.
 *
 * Invariants, at rest
 *   R1  no CPU has callbacks
 *   R2  no more CPUs are awake (their idle counters odd) than take part in the run
 *   R3  the callback lists are sound: see rcu-callbacks
 *
 * Linux: kernel/rcu/tree.c, rcu_flavor without CONFIG_PREEMPT_RCU.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { TICK_NS } from "../hardware/cpu.ts";
import type { CpuHooks } from "../hardware/cpu-hooks.ts";
import { StackFrame } from "../hardware/stack-frames.ts";
import { Softirq, Vector } from "../hardware/vectors.ts";
import { bug } from "../memory/bug.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";
import type { CpuMasks } from "./cpumask.ts";
import type { FunctionId, Functions } from "./functions.ts";
import type { CrossCalls } from "./ipi.ts";
import { Callbacks, RcuHead } from "./rcu-callbacks.ts";
import { GracePeriods, RcuData, type RcuSlots } from "./rcu-grace-period.ts";
import { RcuReaders } from "./rcu-readers.ts";
import type { SpinLocks } from "./spinlock.ts";

const data = RcuData;
const checks = shape.checks;
const { QUIESCENT_STATE, RCU_CALLBACKS } = Softirq;
/** The RCU interrupt takes a CPU for quiescent although it has interrupted a read section. */
const ignoresReaders = mutant("rcu-callback-too-early");

/** Callbacks run in one go (rcutree.blimit); when more than the high mark wait, and until fewer than the low mark do, all. */
const BATCH_LIMIT = 10;
const BATCH_LIMIT_HIGH = 10_000;
const HIGH_MARK = 10_000;
const LOW_MARK = 100;
/** Of those that are ready, one in 2^7 at least (rcutree.rcu_divisor). */
const READY_SHIFT = 7;

export interface RcuParts {
  readonly cpu: Cpu;
  readonly masks: CpuMasks;
  readonly functions: Functions;
  readonly calls: CrossCalls;
  readonly locks: SpinLocks;
  readonly slots: RcuSlots;
}

export class Rcu extends RcuReaders implements CpuHooks {
  private readonly masks: CpuMasks;
  private readonly functions: Functions;
  private readonly calls: CrossCalls;
  private readonly slots: RcuSlots;
  private readonly gp: GracePeriods;
  private readonly callbacks: Callbacks;
  private readonly barrierCallback: FunctionId;
  private readonly barrierHandler: FunctionId;

  constructor(parts: RcuParts) {
    const { cpu, functions, slots } = parts;
    super(cpu, slots.data.of(cpu.id));
    this.masks = parts.masks;
    this.functions = functions;
    this.calls = parts.calls;
    this.slots = slots;
    this.gp = new GracePeriods(parts);
    this.callbacks = new Callbacks(this.memory, this.base + data.callbacks);
    this.barrierCallback = functions.register("rcu_barrier_callback", () => this.barrierPassed());
    this.barrierHandler = functions.register("rcu_barrier_handler", () => this.entrainBarrier());
    cpu.onInterrupt(Vector.RCU, () => this.interrupt());
    cpu.installHooks(this);
  }

  static readonly declare = GracePeriods.declare;

  /** First state of the machine's RCU, on the boot CPU; RAM is zero. */
  format(): void {
    this.gp.format();
    for (let cpu = 0; cpu < this.masks.cpus; cpu++) {
      const at = this.slots.data.of(cpu);
      new Callbacks(this.memory, at + data.callbacks).format();
      this.memory.write(at + data.batchLimit, BATCH_LIMIT);
    }
  }

  // ---- waiting ----

  /**
   * Waits until every CPU has been outside all read sections once; CPUs that are busy are interrupted.
   * Linux: synchronize_rcu_expedited.
   * @may-sleep
   */
  synchronize(): void {
    this.cpu.mightSleep("synchronize_rcu");
    const target = this.gp.request(true);
    this.cpu.beforeSleep();
    this.gp.waitFor(target);
  }

  /**
   * Calls function `id` with `head` after a grace period, on this CPU.  `head` is a `RcuHead` in the object.
   * Linux: call_rcu.
   */
  call(head: Pointer, id: FunctionId): void {
    const { memory, cpu, callbacks } = this;
    const isAwake = !cpu.inAtomic;
    const flags = cpu.irqSave();
    memory.write(head + RcuHead.functionId, id);
    callbacks.enqueue(head);
    const { length } = callbacks;
    if (length === 1 && memory.read(this.base + data.takesPart) === 0) {
      this.leaveCallback(head, flags);
      return;
    }
    if (length === 1) this.masks.add(this.gp.callbackCpus, cpu.id);
    if (isAwake && this.wantsInterrupt) memory.store(this.base + data.wantsInterrupt, 0);
    this.cpu.raiseSoftirq(this.cpu.id, RCU_CALLBACKS);
    if (length > memory.read(this.base + data.lengthLastForce) + HIGH_MARK) this.hurry(length);
    cpu.irqRestore(flags);
  }

  /** Waits until all callbacks queued so far, on any CPU, have run.  Linux: rcu_barrier.  @may-sleep */
  barrier(): void {
    const { memory, cpu, gp, masks } = this;
    cpu.mightSleep("rcu_barrier");
    for (let owner = memory.cas(gp.barrierOwner, 0, cpu.id + 1); owner !== 0; ) {
      this.cpu.beforeSleep();
      memory.waitWhile(gp.barrierOwner, -1, owner);
      owner = memory.cas(gp.barrierOwner, 0, cpu.id + 1);
    }
    // One for this function, so that the count does not reach 0 before all CPUs have been asked.
    memory.store(gp.barrierLeft, 1);
    const flags = cpu.irqSave();
    this.adoptOrphans();
    cpu.irqRestore(flags);
    for (let other = 0; other < masks.cpus; other++) {
      if (masks.has(gp.callbackCpus, other)) this.calls.single(other, this.barrierHandler, 0, true);
    }
    memory.add(gp.barrierLeft, -1);
    for (let left = memory.load(gp.barrierLeft); left !== 0; left = memory.load(gp.barrierLeft)) {
      this.cpu.beforeSleep();
      memory.waitWhile(gp.barrierLeft, -1, left);
    }
    memory.store(gp.barrierOwner, 0);
    memory.wake(gp.barrierOwner);
  }

  // ---- what the CPU calls ----

  /** This CPU is between two pieces of work.  Linux: rcu_note_context_switch. */
  noteQuiescent(): void {
    if (this.cpu.inAtomic) return;
    if (this.gp.dropSelf()) this.gp.advance();
  }

  runSoftirqs(): void {
    this.core();
  }

  reschedule(): void {
    // With interrupts off the code that called is still in a section; the interrupt comes when they are on.
    if (this.cpu.inAtomic) this.cpu.raiseHere(Vector.RCU);
    else this.noteQuiescent();
  }

  idleEnter(): void {
    const { memory, cpu } = this;
    if (memory.read(this.base + data.takesPart) === 0) return;
    // The interrupt does what must not be done here: it ends the grace period, asks for one, or keeps the CPU awake for
    // callbacks that are ready.
    const mustAdvance = this.gp.enterIdle();
    const isNewWait = !this.wantsInterrupt;
    if (isNewWait) memory.store(this.base + data.wantsInterrupt, 1);
    if (mustAdvance || cpu.softirqPending || (isNewWait && this.callbacks.length !== 0))
      cpu.raiseHere(Vector.RCU);
  }

  idleExit(): void {
    if (this.memory.read(this.base + data.takesPart) !== 0) this.gp.leaveIdle();
  }

  /** The timer tick: a grace period that this CPU's callbacks wait for and that takes long is hurried. */
  tick(): void {
    if (this.callbacks.isWaiting && this.gp.ageNs() > TICK_NS) this.gp.expedite(this.callbacks.lastSeq);
  }

  /** While this CPU sleeps, its callbacks are run by an interrupt when they are ready. */
  beforeSleep(): void {
    const { memory, base, callbacks } = this;
    this.noteQuiescent();
    // Also without callbacks: a handler may queue some meanwhile.
    if (!this.wantsInterrupt) memory.store(base + data.wantsInterrupt, 1);
    if (callbacks.length === 0) return;
    if (this.cpu.softirqPending) this.core();
    this.askForAll();
    if (this.cpu.softirqPending) this.cpu.raiseHere(Vector.RCU);
  }

  /** A CPU takes part in the run: it answers interrupts and may read. */
  join(cpu = this.cpu.id): void {
    this.gp.join(cpu);
  }

  /** This CPU takes no part any more.  Its callbacks are left to the others; the last one runs them all. */
  leave(): void {
    while (!this.tryLeave()) this.barrier();
    if (this.gp.enterIdle()) this.gp.advance();
  }

  /** No interrupt may queue a callback between: nobody would leave it to the others. */
  private tryLeave(): boolean {
    const flags = this.cpu.irqSave();
    const hasLeft = this.gp.tryLeave(this.callbacks);
    if (hasLeft) this.memory.write(this.base + data.takesPart, 0);
    this.cpu.irqRestore(flags);
    return hasLeft;
  }

  /**
   * This CPU has left the run, and what it still does has queued its only callback: the others run it.  Where there are none
   * there are no readers either, and it runs here.  `flags`: of the interrupts.
   * @irqs off
   */
  private leaveCallback(head: Pointer, flags: number): void {
    const isLeft = this.gp.tryOrphan(this.callbacks);
    if (!isLeft) this.callbacks.format();
    this.cpu.irqRestore(flags);
    if (!isLeft) this.functions.call(this.memory.read(head + RcuHead.functionId), head, 0);
  }

  /** R1 to R3. */
  check(): void {
    const { memory, masks, slots, gp } = this;
    gp.check();
    let awake = 0;
    for (let cpu = 0; cpu < masks.cpus; cpu++) {
      const at = slots.data.of(cpu);
      const callbacks = new Callbacks(memory, at + data.callbacks);
      callbacks.check(`rcu callbacks of cpu ${cpu}`);
      if (callbacks.length !== 0) bug(`rcu: cpu ${cpu} has ${callbacks.length} callbacks at rest`);
      awake += memory.read(at + data.idleCount) & 1;
    }
    if (awake > gp.members) bug(`rcu: ${awake} CPUs are awake, ${gp.members} take part in the run`);
  }

  /** Callbacks run by this CPU since boot. */
  get invoked(): number {
    return this.memory.readFloat64(this.base + data.invoked);
  }

  /** Grace periods completed since boot. */
  get completed(): number {
    return this.gp.seq >>> 2;
  }

  /** Whether this CPU sleeps, as far as it knows: nothing that it waits for may wait for the end of an operation. */
  private get wantsInterrupt(): boolean {
    return this.memory.read(this.base + data.wantsInterrupt) !== 0;
  }

  // ---- the RCU interrupt ----

  /** @irqs off */
  private interrupt(): void {
    const isReader = this.cpu.preemptCount !== 0;
    if (isReader) reached("rcu-callback-too-early");
    if (isReader && !ignoresReaders) this.cpu.setNeedResched();
    else this.gp.dropSelf();
    if (this.gp.isHeldByNobody) this.gp.advance();
    if (this.callbacks.length !== 0) {
      this.cpu.raiseSoftirq(this.cpu.id, RCU_CALLBACKS);
      if (this.wantsInterrupt) this.askForAll();
    }
  }

  /** A grace period for all callbacks of this CPU, hurried. */
  private askForAll(): void {
    const flags = this.cpu.irqSave();
    this.callbacks.advance(this.gp.seq);
    if (this.callbacks.hasUnassigned) this.callbacks.accelerate(this.gp.request(true));
    else if (this.callbacks.isWaiting) this.gp.expedite(this.callbacks.lastSeq);
    if (this.callbacks.isReady) this.cpu.raiseSoftirq(this.cpu.id, RCU_CALLBACKS);
    this.cpu.irqRestore(flags);
  }

  // ---- callbacks ----

  /** What others have asked of this CPU, and one batch of its own callbacks.  Linux: rcu_core. */
  private core(): void {
    const { cpu } = this;
    if (checks) cpu.stack.enter(StackFrame.RCU_CORE);
    do {
      const asked = cpu.takeSoftirqs();
      if ((asked & QUIESCENT_STATE) !== 0) this.noteQuiescent();
      if ((asked & RCU_CALLBACKS) !== 0 && this.runReady()) break;
    } while (cpu.softirqPending);
    if (checks) cpu.stack.leave(StackFrame.RCU_CORE);
  }

  /** Runs a batch of the callbacks whose grace period has ended; asks for one for the others.  False without any. */
  private runReady(): boolean {
    const { callbacks, gp, cpu } = this;
    const flags = cpu.irqSave();
    this.adoptOrphans();
    callbacks.advance(gp.seq);
    if (callbacks.hasUnassigned) {
      callbacks.accelerate(gp.request(this.wantsInterrupt));
      callbacks.advance(gp.seq);
    }
    const first = callbacks.takeReady();
    cpu.irqRestore(flags);
    if (first === 0) return false;
    this.invoke(first);
    return true;
  }

  /** Runs a batch of the callbacks from `first` on.  Linux: rcu_do_batch. */
  private invoke(first: Pointer): void {
    const { memory, cpu, functions, callbacks, base } = this;
    cpu.preemptDisable();
    const limit = Math.max(memory.read(base + data.batchLimit), callbacks.length >> READY_SHIFT);
    let count = 0;
    let head = first;
    while (head !== 0 && count < limit) {
      // The callback may free the object: what is needed of it is read before.
      const next = memory.read(head + RcuHead.next);
      functions.call(memory.read(head + RcuHead.functionId), head, 0);
      head = next;
      count++;
    }
    const flags = cpu.irqSave();
    if (head !== 0) callbacks.putBackReady(head);
    callbacks.shrink(count);
    memory.writeFloat64(base + data.invoked, memory.readFloat64(base + data.invoked) + count);
    this.adjustBatchLimit();
    if (callbacks.isReady) cpu.raiseSoftirq(cpu.id, RCU_CALLBACKS);
    cpu.irqRestore(flags);
    cpu.preemptEnable();
    // An interrupt that came while preemption was disabled has left its softirq, and a CPU that sleeps ends no operation:
    // one more interrupt, taken after this function, brings it back here.
    if (this.wantsInterrupt && cpu.softirqPending) cpu.raiseHere(Vector.RCU);
  }

  private adjustBatchLimit(): void {
    const { memory, callbacks, base, cpu } = this;
    const { length } = callbacks;
    if (memory.read(base + data.batchLimit) === BATCH_LIMIT_HIGH && length <= LOW_MARK)
      memory.write(base + data.batchLimit, BATCH_LIMIT);
    if (length === 0) {
      memory.write(base + data.lengthLastForce, 0);
      this.masks.remove(this.gp.callbackCpus, cpu.id);
    } else if (length + HIGH_MARK < memory.read(base + data.lengthLastForce)) {
      memory.write(base + data.lengthLastForce, length);
    }
  }

  /** Callbacks come faster than they run.  Linux: __call_rcu_core.  @irqs off */
  private hurry(length: number): void {
    this.memory.write(this.base + data.lengthLastForce, length);
    this.memory.write(this.base + data.batchLimit, BATCH_LIMIT_HIGH);
    this.askForAll();
  }

  /** @irqs off */
  private adoptOrphans(): void {
    // A CPU that has left, and still answers interrupts, would keep them for ever.
    if (this.memory.read(this.base + data.takesPart) === 0) return;
    if (this.gp.adoptOrphans(this.callbacks)) this.masks.add(this.gp.callbackCpus, this.cpu.id);
  }

  // ---- rcu_barrier ----

  /** Queues a callback behind those of this CPU.  @irqs off */
  private entrainBarrier(): void {
    if (this.callbacks.length === 0) return;
    const head = this.base + data.barrierHead;
    this.memory.add(this.gp.barrierLeft, 1);
    this.memory.write(head + RcuHead.functionId, this.barrierCallback);
    this.callbacks.entrain(head);
    this.memory.store(this.base + data.wantsInterrupt, 1);
    this.cpu.raiseSoftirq(this.cpu.id, RCU_CALLBACKS);
    this.askForAll();
  }

  private barrierPassed(): void {
    if (this.memory.add(this.gp.barrierLeft, -1) === 1) this.memory.wake(this.gp.barrierLeft);
  }
}
