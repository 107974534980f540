/**
 * Queued spinlock, native form: one word, waiters in a queue, each waiting on its own node.
 * Linux: kernel/locking/qspinlock.c.
 *
 *   word: (tail, pending, locked)
 *
 *   finds (0,0,0) ------------------------------------------------------------> (0,0,1) holds it
 *   finds (0,0,1) --pending--> (0,1,1) ..holder leaves.. (0,1,0) --takes over--> (0,0,1) holds it
 *   finds another --tail----> (me,*,*) ..is the head...... (t,0,0)
 *                                          nobody behind:  t = me  ------------> (0,0,1) holds it
 *                                          somebody is:    t = n   ------------> (n,0,1) holds it; n's first is the head
 *   unlock: (*,*,1) -> (*,*,0)
 *
 * The first waiter sets pending and watches the locked byte; later ones queue.  The head of the queue waits until both
 * are clear.  First come, first served, but for the pending one that may pass a queue just forming.
 *
 * Differs: a waiter that finds a hand-over in flight (*,1,0) queues at once (Linux on most machines; x86 polls first).
 * Every change of (pending, locked) that a head may wait for is followed by a wake.
 */

import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import type { Pointer } from "../memory/units.ts";
import { QueueNode, type QueueNodes, QueueWord } from "./queue-node.ts";
import type { SpinAlgorithm } from "./spin-algorithm.ts";

const node = QueueNode;
const { LOCKED, LOCKED_MASK, PENDING, LOCKED_PENDING_MASK, TAIL_MASK } = QueueWord;
const forgetsKick = mutant("pv-forgets-kick");

export class QueuedLock implements SpinAlgorithm {
  declare private readonly memory: Memory;
  declare private readonly nodes: QueueNodes;

  constructor(memory: Memory, nodes: QueueNodes) {
    this.memory = memory;
    this.nodes = nodes;
  }

  /** 0,0,0 -> 0,0,1 */
  tryLock(lock: Pointer): boolean {
    return this.memory.cas(lock, 0, LOCKED) === 0;
  }

  lockFast(lock: Pointer): boolean {
    return this.tryLock(lock);
  }

  lockSlow(lock: Pointer): void {
    const { memory } = this;
    if ((memory.load(lock) & ~LOCKED_MASK) === 0) {
      const before = memory.or(lock, PENDING); //  0,0,* -> 0,1,*, if nobody came between
      if ((before & ~LOCKED_MASK) === 0) {
        if (before !== 0) memory.waitWhile(lock, LOCKED_MASK, LOCKED);
        memory.add(lock, LOCKED - PENDING); //  *,1,0 -> *,0,1
        memory.wake(lock);
        return;
      }
      if ((before & PENDING) === 0) {
        memory.and(lock, ~PENDING); //  n,1,* -> n,0,*: somebody queued first
        memory.wake(lock);
      }
    }
    this.lockQueued(lock);
  }

  /** *,*,1 -> *,*,0 */
  unlock(lock: Pointer): void {
    this.memory.storeByte(lock * 4, 0);
    reached("pv-forgets-kick");
    if (!forgetsKick) this.memory.wake(lock);
  }

  private lockQueued(lock: Pointer): void {
    const { memory, nodes } = this;
    const mine = nodes.get();
    if (!this.tryLock(lock)) {
      const tail = nodes.tailOf(mine);
      const before = nodes.exchangeTail(lock, tail);
      if ((before & TAIL_MASK) !== 0) {
        const previous = nodes.nodeOf(before);
        memory.store(previous + node.next, mine);
        memory.wake(previous + node.next);
        memory.waitWhile(mine + node.locked, -1, 0);
      }
      this.claim(lock, mine, tail);
    }
    nodes.put();
  }

  /** As head: waits for *,0,0 and takes the lock: n,0,0 -> 0,0,1 when nobody is behind, else *,0,0 -> *,0,1. */
  private claim(lock: Pointer, mine: Pointer, tail: number): void {
    const { memory } = this;
    let value = memory.load(lock);
    for (;;) {
      const busy = value & LOCKED_PENDING_MASK;
      if (busy !== 0) {
        memory.waitWhile(lock, LOCKED_PENDING_MASK, busy);
        value = memory.load(lock);
        continue;
      }
      if ((value & TAIL_MASK) !== tail) break;
      const before = memory.cas(lock, value, LOCKED);
      if (before === value) return;
      value = before;
    }
    memory.or(lock, LOCKED);
    memory.waitWhile(mine + node.next, -1, 0);
    const next = memory.load(mine + node.next);
    memory.store(next + node.locked, 1);
    memory.wake(next + node.locked);
  }
}
