/**
 * Test-and-set lock: (locked) in one word.  Whoever sees it free first takes it: no order, no fairness, and no waiter
 * that could keep others from it.  Linux: kernel/locking/qspinlock.c virt_spin_lock.
 */

import type { Memory } from "../memory/memory.ts";
import type { Pointer } from "../memory/units.ts";
import type { SpinAlgorithm } from "./spin-algorithm.ts";

const FREE = 0;
const LOCKED = 1;

export class TasLock implements SpinAlgorithm {
  declare private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** 0 -> 1 */
  tryLock(lock: Pointer): boolean {
    return this.memory.cas(lock, FREE, LOCKED) === FREE;
  }

  lockFast(lock: Pointer): boolean {
    return this.tryLock(lock);
  }

  lockSlow(lock: Pointer): void {
    do this.memory.waitWhile(lock, -1, LOCKED);
    while (!this.tryLock(lock));
  }

  /** 1 -> 0 */
  unlock(lock: Pointer): void {
    this.memory.store(lock, FREE);
    this.memory.wake(lock);
  }
}
