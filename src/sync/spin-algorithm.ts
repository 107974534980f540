/** What a kind of spinlock is: how its word is taken and given back.  Preemption, owner and statistics are the engine's. */

import type { Pointer } from "../memory/units.ts";

export interface SpinAlgorithm {
  /** Takes a free lock; false, and no change, when it is held or others wait for it. */
  tryLock(lock: Pointer): boolean;
  /** The first attempt of a `lock`: as `tryLock`, unless the kind knows better. */
  lockFast(lock: Pointer): boolean;
  /** Takes the lock after `lockFast` has failed, waiting as long as it takes. */
  lockSlow(lock: Pointer): void;
  /** Gives the lock back, and wakes whom that concerns. */
  unlock(lock: Pointer): void;
}

/**
 * Whether a lock finishes in good time when more CPUs than cores run freely.  Strict queues hand it to a waiter that may
 * be off its core, and everybody waits for that one; run tokens avoid this, and then all kinds survive.
 */
export const SURVIVES_OVERSUBSCRIPTION = {
  tas: true,
  ticket: false,
  queued: false,
  pv: true,
  custom: true,
  mutex: true,
  rwsem: true,
} as const;
