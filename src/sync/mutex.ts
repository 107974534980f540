/**
 * Mutexes: sleeping locks with an owner.
 *
 *   owner word: owner << 3 | PICKUP 4 | HANDOFF 2 | WAITERS 1
 *
 *   lock      0 -> me                                  and, when it is held,
 *             spin while the owner is on its CPU; else queue, and sleep
 *   unlock    me -> 0, or me|WAITERS -> WAITERS and the first waiter is woken
 *   hand-off  the first waiter that was woken in vain sets HANDOFF; then unlock gives the lock to it by name:
 *             me|HANDOFF|WAITERS -> it|PICKUP|WAITERS, and it takes it up: it|PICKUP -> it
 *
 * Invariants
 *   I1  WAITERS is set exactly when the wait list is not empty, while wait_lock is free
 *   I2  PICKUP is set only with an owner that has not run since; HANDOFF only with waiters
 *   I3  at rest the owner word and the spin queue are 0 and the list is empty
 *
 * A waiter that sleeps uses no CPU time.  Survives over-subscription: whoever runs may take a free mutex.
 * Lock order: wait_lock is innermost.  Linux: kernel/locking/mutex.c.  Differs: no signals, no wound/wait.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { LockClass, lockClassName } from "./lock-class.ts";
import { OptimisticSpinQueue } from "./osq.ts";
import { Sleeper, Sleepers, type SleepingLockSlots } from "./sleeper.ts";
import { spinWhile, wakeSpinners } from "./spin-while.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";
import { addWaiter, checkWaitList, firstWaiter, removeWaiter, WaitList } from "./wait-list.ts";

export const Mutex = struct("mutex", {
  owner: word("atomic"),
  /** Last optimistic spinner: see osq. */
  osq: word("atomic"),
  waitLock: embed(SpinLock, "atomic"),
  waiters: embed(WaitList, "lock:wait_lock"),
  classId: word("hint:holder"),
  pad: word("boot"),
});

const mutex = Mutex;
const sleeper = Sleeper;
const WAITERS = 1;
const HANDOFF = 2;
const PICKUP = 4;
const FLAGS = 7;
const OWNER_SHIFT = 3;
const sleepsUntried = mutant("mutex-sleeps-untried");

export class Mutexes {
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
    this.self = this.sleepers.self << OWNER_SHIFT;
  }

  /** Writes a free mutex.  Linux: mutex_init. */
  format(lock: Pointer, classId: number): void {
    const { memory } = this;
    lockClassName(classId);
    memory.store(lock + mutex.owner, 0);
    memory.store(lock + mutex.osq, 0);
    this.locks.format(lock + mutex.waitLock, LockClass.MUTEX_WAIT);
    memory.fill(lock + mutex.waiters, 2, 0);
    memory.write(lock + mutex.classId, classId);
  }

  /** Takes the mutex.  @may-sleep */
  lock(lock: Pointer): void {
    this.cpu.mightSleep("mutex_lock");
    if (this.memory.cas(lock + mutex.owner, 0, this.self) !== 0) this.lockSlow(lock);
    this.locks.stats.taken(lock, lock + mutex.classId);
  }

  /** Takes the mutex if it is free; never sleeps, but is not for interrupts: the owner may be what they interrupted. */
  tryLock(lock: Pointer): boolean {
    if (this.tryOrOwner(lock, false) !== 0) return false;
    this.locks.stats.taken(lock, lock + mutex.classId);
    return true;
  }

  unlock(lock: Pointer): void {
    this.locks.stats.released(lock, lock + mutex.classId);
    if (this.memory.cas(lock + mutex.owner, this.self, 0) !== this.self) this.unlockSlow(lock);
    else wakeSpinners(this.memory, lock + mutex.owner);
  }

  isHeldHere(lock: Pointer): boolean {
    const word = this.memory.load(lock + mutex.owner);
    return (word & ~FLAGS) === this.self && (word & PICKUP) === 0;
  }

  assertHeld(lock: Pointer): void {
    if (!this.isHeldHere(lock)) bug(`cpu ${this.cpu.id} does not hold ${this.describe(lock)}`);
  }

  /** The mutex in words. */
  describe(lock: Pointer): string {
    const word = this.memory.load(lock + mutex.owner);
    const owner = word >> OWNER_SHIFT;
    const flags = ["WAITERS", "HANDOFF", "PICKUP"].filter((_, bit) => (word & (1 << bit)) !== 0).join("|");
    return (
      `mutex ${lockClassName(this.memory.read(lock + mutex.classId))} at 0x${(lock * 4).toString(16)} ` +
      `(${owner === 0 ? "free" : `held by cpu ${owner - 1}`}${flags === "" ? "" : `, ${flags}`})`
    );
  }

  // ---- lock ----

  private lockSlow(lock: Pointer): void {
    const { cpu } = this;
    if (this.isHeldHere(lock))
      bug(`cpu ${cpu.id}: locks ${this.describe(lock)} again: it would wait for itself`);
    const wait = this.locks.stats.waitBegins(lock, lock + mutex.classId);
    if (!this.lockSpinning(lock)) this.lockSleeping(lock);
    this.locks.stats.waitEnds(wait);
  }

  /**
   * One try: 0 when the mutex is taken, else its owner.  `handOff`: the caller is the first waiter and was woken in vain,
   * so the next unlock shall name it.  Linux: __mutex_trylock_common.
   */
  private tryOrOwner(lock: Pointer, handOff: boolean): number {
    const { memory, self } = this;
    let word = memory.load(lock + mutex.owner);
    for (;;) {
      const next = tryStep(word, self, handOff);
      if (next === word) return word >> OWNER_SHIFT;
      const before = memory.cas(lock + mutex.owner, word, next);
      if (before === word) return (next & ~FLAGS) === self ? 0 : word >> OWNER_SHIFT;
      word = before;
    }
  }

  /** Spins in the queue of spinners while the owner is on its CPU.  Linux: mutex_optimistic_spin. */
  private lockSpinning(lock: Pointer): boolean {
    const { cpu, memory, sleepers, osq } = this;
    cpu.preemptDisable();
    const owner = memory.load(lock + mutex.owner) >> OWNER_SHIFT;
    let got = false;
    if (owner === 0 || sleepers.isRunning(owner)) {
      if (osq.lock(lock + mutex.osq)) {
        got = this.spinOnOwner(lock);
        osq.unlock(lock + mutex.osq);
      }
    }
    cpu.preemptEnable();
    return got;
  }

  /** Tries, and waits for another owner, as long as there is one on its CPU. */
  private spinOnOwner(lock: Pointer): boolean {
    for (;;) {
      const owner = this.tryOrOwner(lock, false);
      if (owner === 0) return true;
      if (!this.sleepers.isRunning(owner)) return false;
      if (!spinWhile(this.cpu, lock + mutex.owner, ~FLAGS, owner << OWNER_SHIFT)) return false;
    }
  }

  private lockSleeping(lock: Pointer): void {
    const { memory, locks, sleepers } = this;
    const waitLock = lock + mutex.waitLock;
    const waiters = lock + mutex.waiters;
    const mine = sleepers.own;
    locks.lock(waitLock);
    if (this.tryOrOwner(lock, false) !== 0) {
      memory.write(mine + sleeper.owner, sleepers.self);
      if (addWaiter(memory, waiters, mine)) memory.or(lock + mutex.owner, WAITERS);
      sleepers.prepare();
      // Tried again under wait_lock: an unlock before WAITERS was set has woken nobody.
      for (;;) {
        reached("mutex-sleeps-untried");
        if (!sleepsUntried && this.tryOrOwner(lock, false) === 0) break;
        locks.unlock(waitLock);
        sleepers.sleep();
        const isFirst = firstWaiter(memory, waiters) === mine;
        sleepers.prepare();
        const got = this.tryOrOwner(lock, isFirst) === 0 || (isFirst && this.spinOnOwner(lock));
        locks.lock(waitLock);
        if (got) break;
      }
      sleepers.cancel();
      if (removeWaiter(memory, waiters, mine)) memory.and(lock + mutex.owner, ~FLAGS);
    }
    locks.unlock(waitLock);
  }

  // ---- unlock ----

  private unlockSlow(lock: Pointer): void {
    const { memory, locks, sleepers, self } = this;
    let word = memory.load(lock + mutex.owner);
    for (;;) {
      if ((word & ~FLAGS) !== self || (word & PICKUP) !== 0)
        bug(`cpu ${this.cpu.id} unlocks ${this.describe(lock)}, which it does not hold`);
      if ((word & HANDOFF) !== 0) break;
      const before = memory.cas(lock + mutex.owner, word, word & FLAGS);
      if (before === word) break;
      word = before;
    }
    if ((word & (WAITERS | HANDOFF)) === 0) {
      wakeSpinners(memory, lock + mutex.owner);
      return;
    }
    locks.lock(lock + mutex.waitLock);
    const first = firstWaiter(memory, lock + mutex.waiters);
    const next = first === 0 ? 0 : memory.read(first + sleeper.owner);
    if ((word & HANDOFF) !== 0) this.handOver(lock, next);
    else wakeSpinners(memory, lock + mutex.owner);
    locks.unlock(lock + mutex.waitLock);
    if (next !== 0) sleepers.wakeUp(next);
  }

  /** me|HANDOFF|WAITERS -> next|PICKUP|WAITERS.  Linux: __mutex_handoff. */
  private handOver(lock: Pointer, next: number): void {
    const { memory } = this;
    let word = memory.load(lock + mutex.owner);
    for (;;) {
      const given = (word & WAITERS) | (next === 0 ? 0 : (next << OWNER_SHIFT) | PICKUP);
      const before = memory.cas(lock + mutex.owner, word, given);
      if (before === word) break;
      word = before;
    }
    wakeSpinners(memory, lock + mutex.owner);
  }
}

/** The owner word after one try to take it; the same word when nothing can be done. */
export function tryStep(word: number, self: number, handOff: boolean): number {
  const flags = word & FLAGS;
  const owner = word & ~FLAGS;
  if (owner === 0) return self | flags;
  if ((flags & PICKUP) !== 0) return owner === self ? self | (flags & ~PICKUP) : word;
  return handOff ? word | HANDOFF : word;
}

/** Checks I1 to I3 of a mutex at rest. */
export function checkMutex(memory: Memory, lock: Pointer): void {
  const word = memory.load(lock + mutex.owner);
  const waiting = checkWaitList(memory, lock + mutex.waiters);
  if (((word & WAITERS) !== 0) !== waiting > 0)
    bug(`I1: mutex word 0x${word.toString(16)}, ${waiting} waiters`);
  if ((word & HANDOFF) !== 0 && waiting === 0) bug(`I2: mutex word 0x${word.toString(16)} without waiters`);
  const osq = memory.load(lock + mutex.osq);
  if (word !== 0 || osq !== 0) bug(`I3: mutex at rest: owner word 0x${word.toString(16)}, spin queue ${osq}`);
}
