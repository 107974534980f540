/**
 * Reader-writer semaphores: sleeping locks for many readers or one writer.
 *
 *   (readers, handoff, waiters, writer)
 *
 *   readLock    r,0,0,0 -> r+1,0,0,0        and with waiters but no writer and no hand-off, for a first reader
 *   writeLock   0,0,0,0 -> 0,0,0,1          an optimistic one: 0,0,w,0 -> 0,0,w,1
 *   readUnlock  r,h,w,0 -> r-1,h,w,0        the last one wakes the first waiter
 *   writeUnlock *,h,w,1 -> *,h,w,0          wakes the first waiter, or all readers when it is one
 *   downgrade   r,h,w,1 -> r+1,h,w,0        lets the readers in that wait in front
 *
 * A writer spins while the owner is a writer on its CPU, or readers for a short time; then it queues and sleeps.  Whoever
 * waited 4 ms sets HANDOFF: from then on nobody overtakes.
 *
 * Invariants
 *   I1  a writer excludes everyone else; the count may hold readers that are about to take themselves out
 *   I2  WAITERS is set exactly when the wait list is not empty, while wait_lock is free
 *   I3  HANDOFF is set only while somebody waits
 *   I4  at rest the count and the spin queue are 0 and the list is empty
 *
 * Survives over-subscription: whoever runs may take a free lock.  Lock order: wait_lock is innermost.
 * Linux: kernel/locking/rwsem.c.  Differs: 32 bits, no signals, no real-time tasks.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";
import { LockClass, lockClassName } from "./lock-class.ts";
import { OptimisticSpinQueue } from "./osq.ts";
import { markWake, READ, Wake, WRITE, wakeIfPossible } from "./rwsem-grant.ts";
import { queuedWriterStep, RwSemaphore, RwsemBit, RwsemOwner, spinningWriterStep } from "./rwsem-layout.ts";
import { Sleeper, Sleepers, type SleepingLockSlots } from "./sleeper.ts";
import { spinWhile, wakeSpinners } from "./spin-while.ts";
import type { SpinLocks } from "./spinlock.ts";
import { addWaiter, checkWaitList, firstWaiter, removeWaiter } from "./wait-list.ts";

export { RwSemaphore } from "./rwsem-layout.ts";

const rwsem = RwSemaphore;
const sleeper = Sleeper;
const { WRITER, WAITERS, HANDOFF, READER, READER_MASK, LOCK_MASK, READ_FAILED } = RwsemBit;
const { READER_OWNED, NONSPINNABLE, FLAGS, SHIFT } = RwsemOwner;
/** A waiter is patient for this long: HZ/250 ticks.  Explore mode counts steps. */
const PATIENCE_NS = shape.mode === "explore" ? 64 : 4_000_000;
const READER_SHIFT = 8;

export class RwSemaphores {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly locks: SpinLocks;
  private readonly sleepers: Sleepers;
  private readonly osq: OptimisticSpinQueue;
  private readonly self: number;

  constructor(cpu: Cpu, locks: SpinLocks, slots: SleepingLockSlots) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.locks = locks;
    this.sleepers = new Sleepers(cpu, slots.sleepers);
    this.osq = new OptimisticSpinQueue(cpu, slots.osq);
    this.self = this.sleepers.self << SHIFT;
  }

  /** Writes a free semaphore.  Linux: init_rwsem. */
  format(sem: Pointer, classId: number): void {
    const { memory } = this;
    lockClassName(classId);
    memory.store(sem + rwsem.count, 0);
    memory.store(sem + rwsem.owner, 0);
    memory.store(sem + rwsem.osq, 0);
    this.locks.format(sem + rwsem.waitLock, LockClass.RWSEM_WAIT);
    memory.fill(sem + rwsem.waiters, 2, 0);
    memory.write(sem + rwsem.classId, classId);
  }

  /** Linux: down_read.  @may-sleep */
  readLock(sem: Pointer): void {
    this.cpu.mightSleep("down_read");
    const before = this.memory.add(sem + rwsem.count, READER);
    if ((before & READ_FAILED) !== 0) this.readLockSlow(sem, before + READER);
    else this.setReaderOwned(sem);
    this.locks.stats.taken(sem, sem + rwsem.classId);
  }

  /** Linux: down_read_trylock. */
  tryReadLock(sem: Pointer): boolean {
    const { memory } = this;
    let count = memory.load(sem + rwsem.count);
    while ((count & READ_FAILED) === 0) {
      const before = memory.cas(sem + rwsem.count, count, count + READER);
      if (before === count) {
        this.setReaderOwned(sem);
        this.locks.stats.taken(sem, sem + rwsem.classId);
        return true;
      }
      count = before;
    }
    return false;
  }

  /** Linux: up_read. */
  readUnlock(sem: Pointer): void {
    const { memory } = this;
    this.locks.stats.released(sem, sem + rwsem.classId);
    const before = memory.add(sem + rwsem.count, -READER);
    if ((before & READER_MASK) === 0)
      bug(`cpu ${this.cpu.id}: up_read of ${this.describe(sem)} without readers`);
    wakeSpinners(memory, sem + rwsem.count);
    if (((before - READER) & (LOCK_MASK | WAITERS)) !== WAITERS) return;
    memory.and(sem + rwsem.owner, ~NONSPINNABLE);
    this.wakeNext(sem, Wake.ANY);
  }

  /** Linux: down_write.  @may-sleep */
  writeLock(sem: Pointer): void {
    this.cpu.mightSleep("down_write");
    if (this.memory.cas(sem + rwsem.count, 0, WRITER) !== 0) this.writeLockSlow(sem);
    this.becomeWriter(sem);
  }

  /** Linux: down_write_trylock. */
  tryWriteLock(sem: Pointer): boolean {
    if (this.memory.cas(sem + rwsem.count, 0, WRITER) !== 0) return false;
    this.becomeWriter(sem);
    return true;
  }

  /** Linux: up_write. */
  writeUnlock(sem: Pointer): void {
    const { memory } = this;
    this.assertWriteHeld(sem);
    this.locks.stats.released(sem, sem + rwsem.classId);
    memory.store(sem + rwsem.owner, 0);
    const before = memory.add(sem + rwsem.count, -WRITER);
    wakeSpinners(memory, sem + rwsem.owner);
    wakeSpinners(memory, sem + rwsem.count);
    if ((before & WAITERS) !== 0) this.wakeNext(sem, Wake.ANY);
  }

  /** The writer becomes a reader, and no other writer comes between.  Linux: downgrade_write. */
  downgrade(sem: Pointer): void {
    const { memory } = this;
    this.assertWriteHeld(sem);
    const before = memory.add(sem + rwsem.count, READER - WRITER);
    this.setReaderOwned(sem);
    wakeSpinners(memory, sem + rwsem.owner);
    if ((before & WAITERS) !== 0) this.wakeNext(sem, Wake.READ_OWNED);
  }

  isWriteHeldHere(sem: Pointer): boolean {
    const owner = this.memory.load(sem + rwsem.owner);
    return (owner & ~FLAGS) === this.self && (owner & READER_OWNED) === 0;
  }

  /** A bug unless this CPU is the writer.  Linux: rwsem_assert_held_write. */
  assertWriteHeld(sem: Pointer): void {
    if (!this.isWriteHeldHere(sem)) bug(`cpu ${this.cpu.id} is not the writer of ${this.describe(sem)}`);
  }

  /** A bug when nobody holds it.  Linux: rwsem_assert_held. */
  assertHeld(sem: Pointer): void {
    if ((this.memory.load(sem + rwsem.count) & LOCK_MASK) === 0) bug(`nobody holds ${this.describe(sem)}`);
  }

  /** The semaphore in words. */
  describe(sem: Pointer): string {
    const { memory } = this;
    const count = memory.load(sem + rwsem.count);
    const owner = memory.load(sem + rwsem.owner) >> SHIFT;
    const inside =
      (count & WRITER) !== 0 ? `written by cpu ${owner - 1}` : `${count >> READER_SHIFT} readers`;
    const flags = `${(count & WAITERS) !== 0 ? ", WAITERS" : ""}${(count & HANDOFF) !== 0 ? ", HANDOFF" : ""}`;
    return `rwsem ${lockClassName(memory.read(sem + rwsem.classId))} at 0x${(sem * 4).toString(16)} (${inside}${flags})`;
  }

  // ---- readers ----

  private setReaderOwned(sem: Pointer): void {
    const { memory } = this;
    const kept = memory.load(sem + rwsem.owner) & NONSPINNABLE;
    memory.store(sem + rwsem.owner, this.self | READER_OWNED | kept);
  }

  /** `count` holds this reader already.  Linux: rwsem_down_read_slowpath. */
  private readLockSlow(sem: Pointer, count: number): void {
    const { locks } = this;
    if (this.isWriteHeldHere(sem))
      bug(
        `cpu ${this.cpu.id}: down_read of ${this.describe(sem)}, which it writes: it would wait for itself`,
      );
    const wait = locks.stats.waitBegins(sem, sem + rwsem.classId);
    if (!this.readLockStealing(sem, count)) this.readLockQueued(sem);
    locks.stats.waitEnds(wait);
  }

  /** With waiters but no writer, a first reader stays in, and lets the others in that wait in front. */
  private readLockStealing(sem: Pointer, count: number): boolean {
    const readers = count >> READER_SHIFT;
    const isReaderOwned = (this.memory.load(sem + rwsem.owner) & READER_OWNED) !== 0;
    if ((isReaderOwned && readers > 1) || (count & (WRITER | HANDOFF)) !== 0) return false;
    this.setReaderOwned(sem);
    if (readers === 1 && (count & WAITERS) !== 0) this.wakeNext(sem, Wake.READ_OWNED);
    return true;
  }

  private readLockQueued(sem: Pointer): void {
    const { memory, locks, sleepers } = this;
    const mine = sleepers.own;
    this.describeWaiter(mine, READ);
    const flags = locks.lockIrqSave(sem + rwsem.waitLock);
    let change = -READER;
    if (firstWaiter(memory, sem + rwsem.waiters) === 0) {
      if ((memory.load(sem + rwsem.count) & WRITER) === 0) {
        locks.unlockIrqRestore(sem + rwsem.waitLock, flags);
        this.setReaderOwned(sem);
        return;
      }
      change += WAITERS;
    }
    addWaiter(memory, sem + rwsem.waiters, mine);
    const count = memory.add(sem + rwsem.count, change) + change;
    wakeSpinners(memory, sem + rwsem.count);
    const woken = wakeIfPossible(this.cpu, sem, count);
    locks.unlockIrqRestore(sem + rwsem.waitLock, flags);
    this.wakeAll(woken);
    for (;;) {
      sleepers.prepare();
      if (memory.load(mine + sleeper.waiting) === 0) break;
      sleepers.sleep();
    }
    sleepers.cancel();
  }

  // ---- writers ----

  private becomeWriter(sem: Pointer): void {
    this.memory.store(sem + rwsem.owner, this.self);
    this.locks.stats.taken(sem, sem + rwsem.classId);
  }

  private writeLockSlow(sem: Pointer): void {
    const { locks } = this;
    if (this.isWriteHeldHere(sem))
      bug(`cpu ${this.cpu.id}: down_write of ${this.describe(sem)} again: it would wait for itself`);
    const wait = locks.stats.waitBegins(sem, sem + rwsem.classId);
    if (!this.writeLockSpinning(sem)) this.writeLockQueued(sem);
    locks.stats.waitEnds(wait);
  }

  /** Linux: rwsem_optimistic_spin. */
  private writeLockSpinning(sem: Pointer): boolean {
    if (!this.mayHope(this.memory.load(sem + rwsem.owner))) return false;
    this.cpu.preemptDisable();
    let got = false;
    if (this.osq.lock(sem + rwsem.osq)) {
      got = this.spinOnOwner(sem);
      this.osq.unlock(sem + rwsem.osq);
    }
    this.cpu.preemptEnable();
    return got;
  }

  private spinOnOwner(sem: Pointer): boolean {
    const { memory, cpu } = this;
    let readerLimitNs = 0;
    for (;;) {
      const owner = memory.load(sem + rwsem.owner);
      if (!this.mayHope(owner)) return false;
      const count = memory.load(sem + rwsem.count);
      const next = spinningWriterStep(count);
      if (next !== count) {
        if (memory.cas(sem + rwsem.count, count, next) === count) return true;
      } else if ((owner & READER_OWNED) !== 0) {
        readerLimitNs ||= cpu.nowNs() + readerSpinNs(count);
        if (cpu.nowNs() > readerLimitNs || !spinWhile(cpu, sem + rwsem.count, -1, count)) {
          memory.cas(sem + rwsem.owner, owner, owner | NONSPINNABLE);
          return false;
        }
      } else if (owner === 0) {
        if (!spinWhile(cpu, sem + rwsem.count, -1, count)) return false;
      } else if (!spinWhile(cpu, sem + rwsem.owner, -1, owner)) return false;
    }
  }

  /** Whether to spin for a lock with this owner is of use.  Linux: rwsem_can_spin_on_owner. */
  private mayHope(owner: number): boolean {
    if ((owner & NONSPINNABLE) !== 0) return false;
    return (owner & READER_OWNED) !== 0 || owner === 0 || this.sleepers.isRunning(owner >> SHIFT);
  }

  private writeLockQueued(sem: Pointer): void {
    const { memory, locks, sleepers } = this;
    const mine = sleepers.own;
    const waitLock = sem + rwsem.waitLock;
    this.describeWaiter(mine, WRITE);
    let flags = locks.lockIrqSave(waitLock);
    if (addWaiter(memory, sem + rwsem.waiters, mine)) {
      memory.or(sem + rwsem.count, WAITERS);
    } else {
      const woken = wakeIfPossible(this.cpu, sem, memory.load(sem + rwsem.count));
      if (woken.length > 0) {
        locks.unlockIrqRestore(waitLock, flags);
        this.wakeAll(woken);
        flags = locks.lockIrqSave(waitLock);
      }
    }
    sleepers.prepare();
    while (!this.takeQueued(sem, mine)) {
      locks.unlockIrqRestore(waitLock, flags);
      const isFree = memory.read(mine + sleeper.handOff) !== 0 && this.ownerLeaves(sem);
      if (isFree) this.cpu.turn.relax();
      else sleepers.sleep();
      sleepers.prepare();
      flags = locks.lockIrqSave(waitLock);
    }
    sleepers.cancel();
    locks.unlockIrqRestore(waitLock, flags);
  }

  /** One try of a queued writer; sets HANDOFF when it has waited too long.  @holds wait_lock */
  private takeQueued(sem: Pointer, mine: Pointer): boolean {
    const { memory, cpu } = this;
    const list = sem + rwsem.waiters;
    const first = firstWaiter(memory, list);
    const mayTake = first === mine || memory.read(first + sleeper.handOff) === 0;
    const isAlone = first === mine && memory.read(mine + sleeper.next) === 0;
    const isLate = cpu.nowNs() > memory.readFloat64(mine + sleeper.impatientNs);
    let count = memory.load(sem + rwsem.count);
    for (;;) {
      const next = queuedWriterStep(count, { mayTake, isAlone, isLate });
      if (next === count) return false;
      const before = memory.cas(sem + rwsem.count, count, next);
      if (before !== count) {
        count = before;
        continue;
      }
      if ((next & WRITER) === 0 || (count & WRITER) !== 0) {
        memory.write(first + sleeper.handOff, 1);
        return false;
      }
      removeWaiter(memory, list, mine);
      return true;
    }
  }

  /** With the lock promised to this writer: whether its owner, a writer on its CPU, releases it soon. */
  private ownerLeaves(sem: Pointer): boolean {
    const { memory, cpu } = this;
    const owner = memory.load(sem + rwsem.owner);
    if (owner === 0) return true;
    if ((owner & FLAGS) !== 0 || !this.sleepers.isRunning(owner >> SHIFT)) return false;
    cpu.preemptDisable();
    const changed = spinWhile(cpu, sem + rwsem.owner, -1, owner);
    cpu.preemptEnable();
    return changed && memory.load(sem + rwsem.owner) === 0;
  }

  // ---- both ----

  private describeWaiter(mine: Pointer, kind: number): void {
    const { memory } = this;
    memory.write(mine + sleeper.kind, kind);
    memory.write(mine + sleeper.owner, this.sleepers.self);
    memory.store(mine + sleeper.waiting, 1);
    memory.write(mine + sleeper.handOff, 0);
    memory.writeFloat64(mine + sleeper.impatientNs, this.cpu.nowNs() + PATIENCE_NS);
  }

  private wakeNext(sem: Pointer, type: number): void {
    const flags = this.locks.lockIrqSave(sem + rwsem.waitLock);
    const woken = markWake(this.cpu, sem, type);
    this.locks.unlockIrqRestore(sem + rwsem.waitLock, flags);
    this.wakeAll(woken);
  }

  private wakeAll(owners: readonly number[]): void {
    for (const owner of owners) this.sleepers.wakeUp(owner);
  }
}

/** How long a writer spins for readers: 10 us and half a microsecond for each of up to 30 readers. */
function readerSpinNs(count: number): number {
  return (20 + Math.min(30, count >> READER_SHIFT)) * 500;
}

/** Checks I2 to I4 of a semaphore at rest. */
export function checkRwsem(memory: Memory, sem: Pointer): void {
  const count = memory.load(sem + rwsem.count);
  const text = `0x${(count >>> 0).toString(16)}`;
  const waiting = checkWaitList(memory, sem + rwsem.waiters);
  if (((count & WAITERS) !== 0) !== waiting > 0) bug(`I2: rwsem count ${text}, ${waiting} waiters`);
  if ((count & HANDOFF) !== 0 && waiting === 0) bug(`I3: rwsem count ${text} without waiters`);
  const osq = memory.load(sem + rwsem.osq);
  if (count !== 0 || osq !== 0) bug(`I4: rwsem at rest: count ${text}, spin queue ${osq}`);
}
