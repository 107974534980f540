/**
 * The queue of a queued lock: each CPU's nodes, and the word (tail, pending, locked).
 *
 *   bits 0-7    locked: LOCKED, or SLOW while a halted head must be kicked (pv)
 *   bits 8-15   pending: the waiter before the queue (native), or a head that lets nobody overtake it (pv)
 *   bits 16-17  tail: which of its CPU's nodes
 *   bits 18-31  tail: 1 + CPU of the last waiter, 0 none
 *
 * A CPU can wait in its program and, interrupted there, in a handler: a node for each.
 *
 * Invariants, at rest
 *   I1  no CPU uses a node: depth == 0
 *   I2  a free lock's word is 0: nobody waits for it
 *
 * Linux: kernel/locking/mcs_spinlock.h, qspinlock.h.  Differs: one node layout for both forms.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { align, struct, word, wordsIn } from "../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../memory/units.ts";

export const QueueWord = {
  LOCKED: 1,
  /** The locked byte when the head has halted. */
  SLOW: 3,
  LOCKED_MASK: 0xff,
  PENDING: 0x100,
  LOCKED_PENDING_MASK: 0xffff,
  TAIL_MASK: 0xffff_0000 | 0,
} as const;

const TAIL_SHIFT = 16;
const TAIL_INDEX_SHIFT = 16;
const TAIL_CPU_SHIFT = 18;
/** Task, and three levels of interrupts (Linux: softirq, hard interrupt, NMI). */
export const NODE_LEVELS = 4;

export const QueueNode = struct("queue_node", {
  /** The next waiter's node, 0 while it is not linked. */
  next: word("atomic", "pointer:queue_node"),
  /** 1 once the node is the head of the queue. */
  locked: word("atomic"),
  /** pv: RUNNING, HALTED or HASHED. */
  state: word("atomic"),
  /** CPU the node belongs to. */
  cpu: word("owner-cpu"),
  /** In node 0: how many of the CPU's nodes are in use. */
  depth: word("owner-cpu", "counter"),
  end: align(16),
});
const NODE_WORDS = 16;
if (wordsIn(QueueNode) !== NODE_WORDS) bug(`struct queue_node is ${wordsIn(QueueNode)} words, expected 16`);

const node = QueueNode;

/** The queue nodes, seen from one CPU. */
export class QueueNodes {
  private readonly memory: Memory;
  private readonly cpu: Cpu;
  private readonly slot: PerCpuSlot;
  private readonly own: Pointer;

  constructor(cpu: Cpu, slot: PerCpuSlot) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.slot = slot;
    this.own = slot.of(cpu.id);
  }

  static declare(image: ImageLayout): PerCpuSlot {
    return image.perCpu("qnodes", QueueNode, NODE_LEVELS);
  }

  /** A node of this CPU that is in no queue, ready to be linked. */
  get(): Pointer {
    const { memory, own } = this;
    const depth = memory.read(own + node.depth);
    if (depth >= NODE_LEVELS)
      bug(`cpu ${this.cpu.id}: waits for ${depth} queued locks at once, at most ${NODE_LEVELS} are possible`);
    memory.write(own + node.depth, depth + 1);
    const mine = own + depth * NODE_WORDS;
    memory.store(mine + node.next, 0);
    memory.store(mine + node.locked, 0);
    memory.write(mine + node.cpu, this.cpu.id);
    return mine;
  }

  /** Gives back the node got last. */
  put(): void {
    const at = this.own + node.depth;
    this.memory.write(at, this.memory.read(at) - 1);
  }

  /** The tail bits that name `mine`, a node of this CPU. */
  tailOf(mine: Pointer): number {
    const index = (mine - this.own) / NODE_WORDS;
    return ((this.cpu.id + 1) << TAIL_CPU_SHIFT) | (index << TAIL_INDEX_SHIFT);
  }

  /** The node that a lock's word names as its tail. */
  nodeOf(value: number): Pointer {
    const cpu = (value >>> TAIL_CPU_SHIFT) - 1;
    return this.slot.of(cpu) + ((value >>> TAIL_INDEX_SHIFT) & (NODE_LEVELS - 1)) * NODE_WORDS;
  }

  /** p,*,* -> n,*,*: makes `tail` the last waiter; returns the tail before. */
  exchangeTail(lock: Pointer, tail: number): number {
    return this.memory.exchangeHalf(lock * WORD_BYTES + 2, tail >>> TAIL_SHIFT) << TAIL_SHIFT;
  }

  /** Checks I1 on every CPU, at rest. */
  static check(memory: Memory, slot: PerCpuSlot, cpus: number): void {
    for (let cpu = 0; cpu < cpus; cpu++) {
      const depth = memory.read(slot.of(cpu) + node.depth);
      if (depth !== 0) bug(`I1: cpu ${cpu} uses ${depth} queue nodes at rest`);
    }
  }
}
