/**
 * Reader-writer spinlocks, fair: readers and writers queue on an inner spinlock.
 *
 *   count word: readers << 9 | WAITING 1 << 8 | writer byte (LOCKED when held)
 *
 *   readLock     r,0,0 -> r+1,0,0                       else it queues: one reader at a time waits for r,*,0
 *   writeLock    0,0,0 -> 0,0,L                         else it queues, sets WAITING, and waits for 0,1,0 -> 0,0,L
 *   readUnlock   r,w,0 -> r-1,w,0        writeUnlock    *,*,L -> *,*,0
 *
 * WAITING keeps new readers out, so a writer waits for the present readers only.  A reader in an interrupt does not queue
 * behind it: what it interrupted may be a reader that the writer waits for.  The word may count readers that are not in:
 * they are about to take themselves out and queue.
 *
 * Invariants
 *   I1  a writer inside excludes everyone else
 *   I2  at most one writer has WAITING set: the one that holds the inner lock
 *   I3  at rest the word is 0
 *
 * Survives over-subscription as the inner spinlock does.  Holders run with preemption off.
 * Linux: kernel/locking/qrwlock.c.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { LockClass, lockClassName } from "./lock-class.ts";
import type { LockWait } from "./lock-stat.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";

export const RwLock = struct("rwlock", {
  count: word("atomic"),
  /** 1 + CPU of the writer inside, 0 none. */
  writer: word("hint:holder"),
  waitLock: embed(SpinLock, "atomic"),
  classId: word("hint:holder"),
  pad: word("boot"),
});

const rwlock = RwLock;
const LOCKED = 0xff;
const WAITING = 0x100;
const WRITER_MASK = 0x1ff;
const READER = 0x200;
const forgetsWake = mutant("rwlock-forgets-wake");

export class RwLocks {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly locks: SpinLocks;
  private readonly self: number;

  constructor(cpu: Cpu, locks: SpinLocks) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.locks = locks;
    this.self = cpu.id + 1;
  }

  /** Writes a free lock.  Linux: rwlock_init. */
  format(lock: Pointer, classId: number): void {
    const { memory } = this;
    lockClassName(classId);
    memory.store(lock + rwlock.count, 0);
    memory.write(lock + rwlock.writer, 0);
    this.locks.format(lock + rwlock.waitLock, LockClass.RWLOCK_WAIT);
    memory.write(lock + rwlock.classId, classId);
  }

  readLock(lock: Pointer): void {
    this.cpu.preemptDisable();
    if ((this.memory.add(lock, READER) & WRITER_MASK) !== 0) this.readLockSlow(lock);
    this.locks.stats.taken(lock, lock + rwlock.classId);
  }

  tryReadLock(lock: Pointer): boolean {
    const { memory } = this;
    if ((memory.load(lock) & WRITER_MASK) !== 0) return false;
    this.cpu.preemptDisable();
    if ((memory.add(lock, READER) & WRITER_MASK) !== 0) {
      this.leaveCount(lock);
      this.cpu.preemptEnable();
      return false;
    }
    this.locks.stats.taken(lock, lock + rwlock.classId);
    return true;
  }

  readUnlock(lock: Pointer): void {
    this.locks.stats.released(lock, lock + rwlock.classId);
    this.leaveCount(lock);
    this.cpu.preemptEnable();
  }

  writeLock(lock: Pointer): void {
    this.cpu.preemptDisable();
    if (this.memory.cas(lock, 0, LOCKED) !== 0) this.writeLockSlow(lock);
    this.becomeWriter(lock);
  }

  tryWriteLock(lock: Pointer): boolean {
    this.cpu.preemptDisable();
    if (this.memory.cas(lock, 0, LOCKED) !== 0) {
      this.cpu.preemptEnable();
      return false;
    }
    this.becomeWriter(lock);
    return true;
  }

  writeUnlock(lock: Pointer): void {
    const { memory } = this;
    if (memory.read(lock + rwlock.writer) !== this.self)
      bug(`cpu ${this.cpu.id} is not the writer of ${this.describe(lock)}`);
    this.locks.stats.released(lock, lock + rwlock.classId);
    memory.write(lock + rwlock.writer, 0);
    memory.storeByte(lock * 4, 0);
    reached("rwlock-forgets-wake");
    if (!forgetsWake) memory.wake(lock);
    this.cpu.preemptEnable();
  }

  /** Linux: read_lock_irqsave. */
  readLockIrqSave(lock: Pointer): number {
    const flags = this.cpu.irqSave();
    this.readLock(lock);
    return flags;
  }

  readUnlockIrqRestore(lock: Pointer, flags: number): void {
    this.readUnlock(lock);
    this.cpu.irqRestore(flags);
  }

  /** Linux: write_lock_irqsave. */
  writeLockIrqSave(lock: Pointer): number {
    const flags = this.cpu.irqSave();
    this.writeLock(lock);
    return flags;
  }

  writeUnlockIrqRestore(lock: Pointer, flags: number): void {
    this.writeUnlock(lock);
    this.cpu.irqRestore(flags);
  }

  /** The lock in words. */
  describe(lock: Pointer): string {
    const count = this.memory.load(lock);
    const writer = this.memory.read(lock + rwlock.writer);
    const inside = writer !== 0 ? `written by cpu ${writer - 1}` : `${count >>> 9} readers`;
    const name = lockClassName(this.memory.read(lock + rwlock.classId));
    return `rwlock ${name} at 0x${(lock * 4).toString(16)} (${inside}${(count & WAITING) !== 0 ? ", a writer waits" : ""})`;
  }

  private becomeWriter(lock: Pointer): void {
    this.memory.write(lock + rwlock.writer, this.self);
    this.locks.stats.taken(lock, lock + rwlock.classId);
  }

  /** r,*,* -> r-1,*,* */
  private leaveCount(lock: Pointer): void {
    this.memory.add(lock, -READER);
    this.memory.wake(lock);
  }

  private readLockSlow(lock: Pointer): void {
    const wait = this.waitBegins(lock);
    const { memory, locks } = this;
    if (this.cpu.inInterrupt) {
      memory.waitWhile(lock, LOCKED, LOCKED);
    } else {
      this.leaveCount(lock);
      locks.lock(lock + rwlock.waitLock);
      memory.add(lock, READER);
      memory.waitWhile(lock, LOCKED, LOCKED);
      locks.unlock(lock + rwlock.waitLock);
    }
    this.locks.stats.waitEnds(wait);
  }

  private writeLockSlow(lock: Pointer): void {
    const wait = this.waitBegins(lock);
    const { memory, locks } = this;
    locks.lock(lock + rwlock.waitLock);
    if (memory.cas(lock, 0, LOCKED) !== 0) {
      memory.or(lock, WAITING);
      for (;;) {
        const seen = memory.cas(lock, WAITING, LOCKED);
        if (seen === WAITING) break;
        memory.waitWhile(lock, -1, seen);
      }
    }
    locks.unlock(lock + rwlock.waitLock);
    this.locks.stats.waitEnds(wait);
  }

  private waitBegins(lock: Pointer): LockWait {
    if (this.memory.read(lock + rwlock.writer) === this.self)
      bug(`cpu ${this.cpu.id}: locks ${this.describe(lock)} again: it would wait for itself`);
    return this.locks.stats.waitBegins(lock, lock + rwlock.classId);
  }
}

/** Checks I3 of a lock at rest. */
export function checkRwLock(memory: Memory, lock: Pointer): void {
  const count = memory.load(lock);
  if (count !== 0) bug(`I3: rwlock at word ${lock} at rest: count 0x${(count >>> 0).toString(16)}`);
}
