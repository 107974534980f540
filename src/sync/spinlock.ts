/**
 * Spinlocks: the lock engine of one CPU.  Any lock word in RAM, one kind of lock for the whole machine.
 *
 * The kind is part of the shape.  `pv` waits in its own way only in parallel mode; elsewhere it is the native queued
 * lock, exactly as Linux patches one or the other in (pv_ops).
 *
 * Invariants
 *   I1  at most one CPU holds a lock; `owner` names it from after it was taken until before it is given back
 *   I2  a held lock counts one in its CPU's preempt count
 *   I3  a CPU never waits for a lock that it holds
 *
 * I3 is a bug at once, with names, in parallel and virtual mode; in explore mode the CPU waits, so that it shows as what
 * it is on hardware: a deadlock, with everybody's stack.
 *
 * Linux: include/linux/spinlock.h, kernel/locking/spinlock.c, arch/x86/kernel/paravirt-spinlocks.c.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { type LockKind, shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";
import { type CreateLock, shapedCreateLock, UserLock } from "./custom-lock.ts";
import { lockClassName } from "./lock-class.ts";
import { checkLockStats, type LockStatSlots, LockStats } from "./lock-stat.ts";
import { PvLock } from "./pv-lock.ts";
import { QueueNodes } from "./queue-node.ts";
import { QueuedLock } from "./queued-lock.ts";
import type { SpinAlgorithm } from "./spin-algorithm.ts";
import { SpinLock } from "./spinlock-layout.ts";
import { TasLock } from "./tas-lock.ts";
import { TicketLock } from "./ticket-lock.ts";

export { SpinLock } from "./spinlock-layout.ts";

const spinlock = SpinLock;
const selfDeadlockIsBug = shape.mode !== "explore";
/** What `tryLockIrqSave` returns when the lock is held. */
export const REFUSED = -1;

export interface SpinLockSlots extends LockStatSlots {
  readonly nodes: PerCpuSlot;
}

export interface SpinLockOptions {
  readonly kind?: LockKind;
  readonly createLock?: CreateLock | null;
  /** Take the paravirtual form of `pv` in the serial modes too. */
  readonly paravirtual?: boolean;
}

export class SpinLocks {
  declare readonly stats: LockStats;
  declare protected readonly cpu: Cpu;
  declare protected readonly algorithm: SpinAlgorithm;
  /** 1 + CPU: what `owner` is while this CPU holds the lock. */
  declare protected readonly self: number;
  declare private readonly memory: Memory;

  /** Options are for tests; the shape decides. */
  constructor(cpu: Cpu, slots: SpinLockSlots, options: SpinLockOptions = {}) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.self = cpu.id + 1;
    this.stats = new LockStats(cpu, slots);
    this.algorithm = createAlgorithm(cpu, slots, options);
  }

  /** Reserves queue nodes and statistics of each CPU. */
  static declare(image: ImageLayout, _cpus: number): SpinLockSlots {
    return { nodes: QueueNodes.declare(image), ...LockStats.declare(image) };
  }

  /** Writes a free lock.  Linux: spin_lock_init. */
  format(lock: Pointer, classId: number): void {
    const { memory } = this;
    lockClassName(classId);
    memory.store(lock + spinlock.value, 0);
    memory.store(lock + spinlock.extra, 0);
    memory.write(lock + spinlock.owner, 0);
    memory.write(lock + spinlock.classId, classId);
  }

  /** Takes the lock, with preemption off until `unlock`. */
  lock(lock: Pointer): void {
    this.cpu.preemptDisable();
    if (!this.algorithm.lockFast(lock)) this.lockSlow(lock);
    this.becomeOwner(lock);
  }

  /** Takes the lock if it is free. */
  tryLock(lock: Pointer): boolean {
    this.cpu.preemptDisable();
    if (!this.algorithm.tryLock(lock)) {
      this.cpu.preemptEnable();
      return false;
    }
    this.becomeOwner(lock);
    return true;
  }

  unlock(lock: Pointer): void {
    const { memory } = this;
    if (memory.read(lock + spinlock.owner) !== this.self) this.reportNotHeld(lock);
    this.stats.released(lock, lock + spinlock.classId);
    memory.write(lock + spinlock.owner, 0);
    this.algorithm.unlock(lock);
    this.cpu.preemptEnable();
  }

  /** Interrupts off, then the lock; returns the interrupt flag before.  Linux: spin_lock_irqsave. */
  lockIrqSave(lock: Pointer): number {
    const flags = this.cpu.irqSave();
    this.lock(lock);
    return flags;
  }

  unlockIrqRestore(lock: Pointer, flags: number): void {
    this.unlock(lock);
    this.cpu.irqRestore(flags);
  }

  lockIrq(lock: Pointer): void {
    this.cpu.irqDisable();
    this.lock(lock);
  }

  unlockIrq(lock: Pointer): void {
    this.unlock(lock);
    this.cpu.irqEnable();
  }

  /** The interrupt flag before, or REFUSED (and interrupts as they were) when the lock is not free. */
  tryLockIrqSave(lock: Pointer): number {
    const flags = this.cpu.irqSave();
    if (this.tryLock(lock)) return flags;
    this.cpu.irqRestore(flags);
    return REFUSED;
  }

  isHeldHere(lock: Pointer): boolean {
    return this.memory.read(lock + spinlock.owner) === this.self;
  }

  /** A bug when this CPU does not hold the lock.  Linux: lockdep_assert_held. */
  assertHeld(lock: Pointer): void {
    if (this.memory.read(lock + spinlock.owner) !== this.self) this.reportNotHeld(lock);
  }

  /** The lock in words: class, address, word, owner. */
  describe(lock: Pointer): string {
    const { memory } = this;
    const owner = memory.read(lock + spinlock.owner);
    const value = memory.load(lock + spinlock.value) >>> 0;
    return (
      `${lockClassName(memory.read(lock + spinlock.classId))} at 0x${(lock * 4).toString(16)} ` +
      `(value 0x${value.toString(16)}, held by ${owner === 0 ? "nobody" : `cpu ${owner - 1}`})`
    );
  }

  protected becomeOwner(lock: Pointer): void {
    const { memory } = this;
    memory.write(lock + spinlock.owner, this.self);
    this.stats.taken(lock, lock + spinlock.classId);
  }

  /** Takes the lock after the first attempt has failed; it has no owner yet. */
  protected lockSlow(lock: Pointer): void {
    const { cpu, memory } = this;
    if (selfDeadlockIsBug && memory.read(lock + spinlock.owner) === this.self)
      bug(`cpu ${cpu.id}: locks ${this.describe(lock)} again: it would wait for itself`);
    const wait = this.stats.waitBegins(lock, lock + spinlock.classId);
    this.algorithm.lockSlow(lock);
    this.stats.waitEnds(wait);
  }

  protected reportNotHeld(lock: Pointer): never {
    bug(`cpu ${this.cpu.id} does not hold ${this.describe(lock)}`);
  }
}

function createAlgorithm(cpu: Cpu, slots: SpinLockSlots, options: SpinLockOptions): SpinAlgorithm {
  const {
    kind = shape.lock,
    createLock = shapedCreateLock,
    paravirtual = shape.mode === "parallel",
  } = options;
  if (kind === "tas") return new TasLock(cpu.memory);
  if (kind === "ticket") return new TicketLock(cpu.memory);
  if (kind === "custom") return new UserLock(cpu, createLock ?? bug("lock kind custom without a createLock"));
  const nodes = new QueueNodes(cpu, slots.nodes);
  if (kind === "pv" && paravirtual) return new PvLock(cpu, nodes);
  return new QueuedLock(cpu.memory, nodes);
}

/** Checks at rest: statistics, and that no CPU is left in a lock's queue. */
export function checkSpinLocks(memory: Memory, slots: SpinLockSlots, cpus: number): void {
  QueueNodes.check(memory, slots.nodes, cpus);
  checkLockStats(memory, slots, cpus);
}
