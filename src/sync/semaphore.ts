/**
 * Semaphores: a count of what may be taken, under a spinlock, with a first-come wait list.
 *
 * `up` hands what it returns straight to the first waiter (`isUp`), so nobody overtakes the queue.
 *
 * Invariants, while the lock is free
 *   M1  count > 0 only with an empty list
 *   M2  the links of the list agree in both directions
 *   M3  at rest nobody waits
 *
 * Linux: kernel/locking/semaphore.c.  Differs: no signals.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import { Errno } from "../memory/errno.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import {
  checkedListLength,
  ListHead,
  listAddTail,
  listDelInit,
  listInit,
  listIsEmpty,
} from "../memory/list.ts";
import type { Memory } from "../memory/memory.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { LockClass } from "./lock-class.ts";
import type { Sleepers } from "./sleeper.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";

export const Semaphore = struct("semaphore", {
  lock: embed(SpinLock, "atomic"),
  count: word("lock:semaphore.lock", "counter"),
  pad: word("boot"),
  waiters: embed(ListHead, "lock:semaphore.lock"),
});
const semaphore = Semaphore;

/** A CPU's place in the list of the semaphore that its task waits for. */
const SemaphoreWaiter = struct("semaphore_waiter", {
  link: embed(ListHead, "lock:semaphore.lock"),
  owner: word("lock:semaphore.lock"),
  /** Whether `up` has handed its unit to this waiter. */
  isUp: word("lock:semaphore.lock", "flags"),
});
const waiter = SemaphoreWaiter;

export class Semaphores {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly locks: SpinLocks;
  private readonly sleepers: Sleepers;
  private readonly own: Pointer;

  constructor(parts: { cpu: Cpu; locks: SpinLocks; sleepers: Sleepers; waiters: PerCpuSlot }) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.locks = parts.locks;
    this.sleepers = parts.sleepers;
    this.own = parts.waiters.of(parts.cpu.id);
  }

  static declare(layout: ImageLayout): PerCpuSlot {
    return layout.perCpu("semaphore_waiter", SemaphoreWaiter);
  }

  /** Makes the words at `at` a semaphore of `count` units.  Linux: sema_init. */
  format(at: Pointer, count: number): void {
    if (count < 0) bug(`semaphore at word ${at}: count ${count}`);
    this.locks.format(at + semaphore.lock, LockClass.SEMAPHORE);
    this.memory.write(at + semaphore.count, count);
    listInit(this.memory, at + semaphore.waiters);
  }

  /** Takes a unit; sleeps while there is none.  Linux: down.  @may-sleep */
  down(at: Pointer): void {
    this.downTimeout(at, Infinity);
  }

  /** Takes a unit if there is one.  Linux: down_trylock, with the sense turned round. */
  tryDown(at: Pointer): boolean {
    const flags = this.locks.lockIrqSave(at + semaphore.lock);
    const taken = this.tryTake(at);
    this.locks.unlockIrqRestore(at + semaphore.lock, flags);
    return taken;
  }

  /** Takes a unit: 0, or -ETIME after `timeoutNs`.  Linux: down_timeout.  @may-sleep */
  downTimeout(at: Pointer, timeoutNs: number): number {
    this.cpu.mightSleep("down");
    const flags = this.locks.lockIrqSave(at + semaphore.lock);
    const taken = this.tryTake(at) || this.downSlow(at, flags, timeoutNs);
    this.locks.unlockIrqRestore(at + semaphore.lock, flags);
    return taken ? 0 : -Errno.ETIME;
  }

  /** Gives a unit back; anyone may, also an interrupt handler.  Linux: up. */
  up(at: Pointer): void {
    const { memory, locks } = this;
    const flags = locks.lockIrqSave(at + semaphore.lock);
    const first = memory.read(at + semaphore.waiters);
    if (first === at + semaphore.waiters) {
      memory.write(at + semaphore.count, memory.read(at + semaphore.count) + 1);
    } else {
      listDelInit(memory, first);
      memory.write(first + waiter.isUp, 1);
      this.sleepers.wakeUp(memory.read(first + waiter.owner));
    }
    locks.unlockIrqRestore(at + semaphore.lock, flags);
  }

  /** M1 to M3. */
  check(at: Pointer): void {
    const { memory } = this;
    const count = memory.read(at + semaphore.count);
    const waiting = checkedListLength(memory, at + semaphore.waiters, `semaphore at word ${at}`, 1 << 16);
    if (count > 0 && waiting > 0) bug(`semaphore at word ${at}: count ${count} with ${waiting} waiters`);
    if (waiting > 0) bug(`semaphore at word ${at}: ${waiting} waiters at rest`);
  }

  private tryTake(at: Pointer): boolean {
    const { memory } = this;
    const count = memory.read(at + semaphore.count);
    if (count === 0 || !listIsEmpty(memory, at + semaphore.waiters)) return false;
    memory.write(at + semaphore.count, count - 1);
    return true;
  }

  /** Whether a unit was handed over.  Linux: ___down_common.  @holds semaphore.lock */
  private downSlow(at: Pointer, flags: number, timeoutNs: number): boolean {
    const { memory, locks, sleepers, cpu, own } = this;
    const deadlineNs = timeoutNs === Infinity ? Infinity : cpu.nowNs() + timeoutNs;
    listAddTail(memory, own, at + semaphore.waiters);
    memory.write(own + waiter.owner, sleepers.self);
    memory.write(own + waiter.isUp, 0);
    for (let inTime = true; ; ) {
      if (memory.read(own + waiter.isUp) !== 0) return true;
      if (!inTime) break;
      sleepers.prepare();
      locks.unlockIrqRestore(at + semaphore.lock, flags);
      inTime = sleepers.sleep(deadlineNs === Infinity ? Infinity : deadlineNs - cpu.nowNs());
      sleepers.cancel();
      locks.lockIrqSave(at + semaphore.lock);
    }
    listDelInit(memory, own);
    return false;
  }
}
