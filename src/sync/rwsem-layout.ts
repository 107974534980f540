/**
 * The words of a reader-writer semaphore, and the pure steps of its count.
 *
 *   count: readers << 8 | HANDOFF 4 | WAITERS 2 | WRITER 1; below 0: too many readers
 *   owner: the last owner << 2 | NONSPINNABLE 2 | READER_OWNED 1; a hint for spinners, and for reports
 */

import { embed, struct, word } from "../memory/struct.ts";
import { SpinLock } from "./spinlock-layout.ts";
import { WaitList } from "./wait-list.ts";

export const RwSemaphore = struct("rwsem", {
  count: word("atomic"),
  owner: word("atomic"),
  waitLock: embed(SpinLock, "atomic"),
  waiters: embed(WaitList, "lock:wait_lock"),
  /** Last optimistic spinner: see osq. */
  osq: word("atomic"),
  classId: word("hint:holder"),
});

export const RwsemBit = {
  WRITER: 1,
  WAITERS: 2,
  HANDOFF: 4,
  /** One reader. */
  READER: 0x100,
  READER_MASK: 0x7fff_ff00,
  LOCK_MASK: 0x7fff_ff01,
  /** What makes a reader queue. */
  READ_FAILED: 0x8000_0007 | 0,
} as const;

export const RwsemOwner = { READER_OWNED: 1, NONSPINNABLE: 2, FLAGS: 3, SHIFT: 2 } as const;

const { WRITER, WAITERS, HANDOFF, LOCK_MASK } = RwsemBit;

/** What the count may become when a queued writer tries; the same count when it must sleep on. */
export function queuedWriterStep(
  count: number,
  waiter: { mayTake: boolean; isAlone: boolean; isLate: boolean },
): number {
  if ((count & HANDOFF) !== 0 && !waiter.mayTake) return count;
  if ((count & LOCK_MASK) !== 0) {
    return (count & HANDOFF) === 0 && waiter.isLate ? count | HANDOFF : count;
  }
  return (count | WRITER) & ~HANDOFF & (waiter.isAlone ? ~WAITERS : -1);
}

/** What the count may become when an optimistic writer tries; the same count when it is held or promised. */
export function spinningWriterStep(count: number): number {
  return (count & (LOCK_MASK | HANDOFF)) === 0 ? count | WRITER : count;
}
