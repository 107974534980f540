/**
 * Queued spinlock, paravirtual form: for CPUs that may be off their core.  A waiter spins a bounded time, then halts
 * until it is kicked; while the head is halted a lock that comes free is open to whoever arrives, so nobody waits for a
 * CPU without a core.  A head that is awake closes the door (pending) and is next.
 * Linux: kernel/locking/qspinlock_paravirt.h.
 *
 *   state of a node:   RUNNING --bounded spin over--> HALTED --it became the head--> HASHED
 *                         ^                              |                              |
 *                         +---- was given the queue -----+------- lock was released ----+
 *
 *   locked byte:       LOCKED --its head halts--> SLOW --unlock--> 0, and a kick to the CPU in `extra`
 *
 * Order that no wake-up is lost in: the head writes `extra`, turns LOCKED into SLOW, and only then halts; unlock turns
 * LOCKED into 0 in one step, and where that fails reads `extra` before it frees the lock.  A kick is sticky, and every
 * halt looks at its condition after interrupts were answered, since a handler may have used up a kick.
 *
 * Differs: the lock's second word replaces the hash table of halted heads.  A stealer gives up after a bounded number of
 * rounds and queues.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import type { Turn } from "../memory/turn.ts";
import type { Pointer } from "../memory/units.ts";
import { QueueNode, type QueueNodes, QueueWord } from "./queue-node.ts";
import type { SpinAlgorithm } from "./spin-algorithm.ts";
import { SpinLock } from "./spinlock-layout.ts";

const spinlock = SpinLock;
const node = QueueNode;
const { LOCKED, SLOW, LOCKED_MASK, PENDING, LOCKED_PENDING_MASK, TAIL_MASK } = QueueWord;
/** What an attempt of the head came to. */
const BUSY = 0;
const ALONE = 1;
const FOLLOWED = 2;
/** State of a node. */
const RUNNING = 0;
const HALTED = 1;
const HASHED = 2;
/** A waiter looks at its predecessor's state every so many rounds: behind a halted one there is no use in spinning. */
const LOOK_EVERY = 64;
const forgetsKick = mutant("pv-forgets-kick");

export class PvLock implements SpinAlgorithm {
  declare private readonly memory: Memory;
  declare private readonly turn: Turn;
  declare private readonly nodes: QueueNodes;
  declare private readonly cpu: number;

  constructor(cpu: Cpu, nodes: QueueNodes) {
    this.memory = cpu.memory;
    this.turn = cpu.turn;
    this.nodes = nodes;
    this.cpu = cpu.id;
  }

  /** 0,0,0 -> 0,0,1 */
  tryLock(lock: Pointer): boolean {
    return this.memory.cas(lock, 0, LOCKED) === 0;
  }

  lockFast(lock: Pointer): boolean {
    return this.tryLock(lock);
  }

  lockSlow(lock: Pointer): void {
    if (this.steal(lock)) return;
    const { memory, nodes } = this;
    const mine = nodes.get();
    memory.store(mine + node.state, RUNNING);
    const tail = nodes.tailOf(mine);
    const before = nodes.exchangeTail(lock, tail);
    if ((before & TAIL_MASK) !== 0) {
      const previous = nodes.nodeOf(before);
      memory.store(previous + node.next, mine);
      memory.wake(previous + node.next);
      this.waitForTurn(mine, previous);
    }
    if (!this.waitAsHead(lock, mine, tail)) this.passQueue(lock, mine);
    nodes.put();
  }

  /** *,*,1 -> *,*,0, or by way of the kick. */
  unlock(lock: Pointer): void {
    if (this.memory.casByte(lock * 4, LOCKED, 0) !== LOCKED) this.unlockSlow(lock);
  }

  /** *,*,SLOW -> *,*,0 and a kick to the halted head. */
  private unlockSlow(lock: Pointer): void {
    const { memory } = this;
    const locked = memory.loadByte(lock * 4);
    if (locked !== SLOW) bug(`cpu ${this.cpu}: unlock of a queued lock whose locked byte is ${locked}`);
    const head = memory.load(lock + spinlock.extra) - 1;
    memory.storeByte(lock * 4, 0);
    reached("pv-forgets-kick");
    if (!forgetsKick) this.turn.kick(head);
  }

  /**
   * Overtakes the queue: *,0,0 -> *,0,1, again and again as long as its head sleeps; to queue behind a sleeper would
   * make this CPU wait for a core that it has itself.  Linux: pv_hybrid_queued_unfair_trylock.
   */
  private steal(lock: Pointer): boolean {
    const { memory, turn } = this;
    for (let rounds = turn.spinLimit; ; rounds--) {
      const value = memory.load(lock);
      if ((value & LOCKED_PENDING_MASK) === 0 && memory.casByte(lock * 4, 0, LOCKED) === 0) return true;
      if ((value & TAIL_MASK) === 0 || (value & PENDING) !== 0 || rounds <= 0) return false;
      turn.relax();
    }
  }

  /** Waits until the predecessor makes `mine` the head. */
  private waitForTurn(mine: Pointer, previous: Pointer): void {
    const { memory, turn } = this;
    while (memory.load(mine + node.locked) === 0) {
      for (let i = 1; i <= turn.spinLimit; i++) {
        if (memory.load(mine + node.locked) !== 0) return;
        if (i % LOOK_EVERY === 0 && memory.load(previous + node.state) !== RUNNING) break;
        turn.relax();
      }
      memory.store(mine + node.state, HALTED);
      for (;;) {
        turn.relax();
        if (memory.load(mine + node.locked) !== 0 || memory.load(mine + node.state) !== HALTED) break;
        turn.park(Infinity);
      }
      memory.cas(mine + node.state, HALTED, RUNNING);
    }
  }

  /**
   * As head: takes the lock; true when nobody is behind, and the queue is gone.  While it is awake it sets pending,
   * which stops stealing; before it halts it clears it.
   */
  private waitAsHead(lock: Pointer, mine: Pointer, tail: number): boolean {
    const { memory, turn } = this;
    for (;;) {
      memory.store(mine + node.state, RUNNING);
      memory.or(lock, PENDING);
      let rounds = turn.spinLimit;
      do {
        const got = this.takeAsHead(lock, tail);
        if (got !== BUSY) return got === ALONE;
        turn.relax();
      } while (--rounds > 0);
      memory.and(lock, ~PENDING);
      memory.store(lock + spinlock.extra, this.cpu + 1);
      if (memory.casByte(lock * 4, LOCKED, SLOW) === 0) continue;
      memory.store(mine + node.state, HASHED);
      for (;;) {
        turn.relax();
        if (memory.loadByte(lock * 4) !== SLOW) break;
        turn.park(Infinity);
      }
    }
  }

  /** n,*,0 -> 0,0,1 when `tail` is the last waiter, else *,*,0 -> *,0,1 */
  private takeAsHead(lock: Pointer, tail: number): number {
    const { memory } = this;
    let value = memory.load(lock);
    while ((value & LOCKED_MASK) === 0) {
      const queue = value & TAIL_MASK;
      const before = memory.cas(lock, value, queue === tail ? LOCKED : queue | LOCKED);
      if (before === value) return queue === tail ? ALONE : FOLLOWED;
      value = before;
    }
    return BUSY;
  }

  /**
   * Makes the next waiter the head.  One that has halted is not woken: the lock is marked in its name, and whoever
   * unlocks it kicks.
   */
  private passQueue(lock: Pointer, mine: Pointer): void {
    const { memory } = this;
    memory.waitWhile(mine + node.next, -1, 0);
    const next = memory.load(mine + node.next);
    const nextCpu = memory.read(next + node.cpu);
    memory.store(next + node.locked, 1);
    if (memory.cas(next + node.state, HALTED, HASHED) !== HALTED) return;
    memory.store(lock + spinlock.extra, nextCpu + 1);
    memory.storeByte(lock * 4, SLOW);
  }
}
