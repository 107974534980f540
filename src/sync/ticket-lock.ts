/**
 * Ticket lock: `value` is the next ticket to draw, `extra` the ticket served; equal when free.  Strict first come, first
 * served: with more CPUs than cores the served one may be off its core while all others wait for it.
 * Linux: include/asm-generic/ticket_spinlock.h.  Differs: two words, tickets of 32 bits.
 */

import type { Memory } from "../memory/memory.ts";
import type { Pointer } from "../memory/units.ts";
import type { SpinAlgorithm } from "./spin-algorithm.ts";
import { SpinLock } from "./spinlock-layout.ts";

const spinlock = SpinLock;

export class TicketLock implements SpinAlgorithm {
  declare private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** Draws a ticket only when it is the one served: next, served: n,n -> n+1,n */
  tryLock(lock: Pointer): boolean {
    const { memory } = this;
    const served = memory.load(lock + spinlock.extra);
    return memory.cas(lock, served, (served + 1) | 0) === served;
  }

  lockFast(lock: Pointer): boolean {
    return this.tryLock(lock);
  }

  /** n,* -> n+1,* and waits for *,n */
  lockSlow(lock: Pointer): void {
    const { memory } = this;
    const mine = memory.add(lock, 1);
    for (;;) {
      const served = memory.load(lock + spinlock.extra);
      if (served === mine) return;
      memory.waitWhile(lock + spinlock.extra, -1, served);
    }
  }

  /** *,n -> *,n+1.  Only the holder writes it. */
  unlock(lock: Pointer): void {
    const served = lock + spinlock.extra;
    this.memory.store(served, (this.memory.load(served) + 1) | 0);
    this.memory.wake(served);
  }
}
