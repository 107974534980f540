/**
 * The queue of optimistic spinners of a sleeping lock: one spins on the lock's owner, the others each on their own node.
 *
 * The lock holds one word, 1 + CPU of the last spinner, 0 none.  A spinner that gives up leaves the queue from any
 * place: it takes itself out of its predecessor's `next`, waits until it knows its own successor, and links the two.
 *
 * Invariants
 *   I1  following `next` from the holder's node visits every spinner once, except while one is leaving
 *   I2  at rest the lock's word is 0
 *
 * Preemption is off from `lock` to `unlock`.  Linux: kernel/locking/osq_lock.c.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { array, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { spinWhile, wakeSpinners } from "./spin-while.ts";

const OsqNode = struct("osq_node", {
  next: word("atomic", "pointer:osq_node"),
  previous: word("atomic", "pointer:osq_node"),
  locked: word("atomic"),
  end: array(13, "boot"),
});

const node = OsqNode;

export class OptimisticSpinQueue {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly slot: PerCpuSlot;
  private readonly own: Pointer;
  private readonly self: number;

  constructor(cpu: Cpu, slot: PerCpuSlot) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.slot = slot;
    this.own = slot.of(cpu.id);
    this.self = cpu.id + 1;
  }

  static declare(image: ImageLayout): PerCpuSlot {
    return image.perCpu("osq_node", OsqNode);
  }

  /** Waits to be the one that spins; false when waiting is of no use. */
  lock(tail: Pointer): boolean {
    const { memory, own } = this;
    memory.store(own + node.locked, 0);
    memory.store(own + node.next, 0);
    const before = memory.exchange(tail, this.self);
    if (before === 0) return true;
    const previous = this.slot.of(before - 1);
    memory.store(own + node.previous, previous);
    this.link(previous, own);
    if (spinWhile(this.cpu, own + node.locked, -1, 0)) return true;
    return this.leave(tail);
  }

  unlock(tail: Pointer): void {
    const { memory, own } = this;
    if (memory.cas(tail, this.self, 0) === this.self) return;
    let next = memory.exchange(own + node.next, 0);
    if (next === 0) next = this.takeNext(tail, 0);
    if (next === 0) return;
    memory.store(next + node.locked, 1);
    wakeSpinners(memory, next + node.locked);
  }

  /** Gives up waiting; true when the turn came in that moment. */
  private leave(tail: Pointer): boolean {
    const { memory, own, cpu } = this;
    let previous = memory.load(own + node.previous);
    while (memory.cas(previous + node.next, own, 0) !== own) {
      // The predecessor is handing over to us, or it is leaving and gives us another predecessor.
      if (memory.load(own + node.locked) !== 0) return true;
      cpu.turn.relax();
      previous = memory.load(own + node.previous);
    }
    const next = this.takeNext(tail, this.ownerOf(previous));
    if (next === 0) return false;
    memory.store(next + node.previous, previous);
    this.link(previous, next);
    return false;
  }

  /** Takes the successor out of our node; 0 when we were the last, and `before` is the tail again. */
  private takeNext(tail: Pointer, before: number): Pointer {
    const { memory, own, cpu } = this;
    for (;;) {
      if (memory.cas(tail, this.self, before) === this.self) return 0;
      if (memory.load(own + node.next) !== 0) {
        const next = memory.exchange(own + node.next, 0);
        if (next !== 0) return next;
      }
      cpu.turn.relax();
    }
  }

  private link(previous: Pointer, next: Pointer): void {
    this.memory.store(previous + node.next, next);
  }

  private ownerOf(other: Pointer): number {
    return (other - this.slot.address) / this.slot.unitWords + 1;
  }
}
