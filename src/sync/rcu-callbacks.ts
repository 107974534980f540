/**
 * One CPU's RCU callbacks: a singly linked list in four segments, oldest first.
 *
 *   head -> [ DONE: may run ][ WAIT: for the grace period gpSeq[WAIT] ][ NEXT_READY: for gpSeq[NEXT_READY] ][ NEXT ] -> 0
 *
 * `tails[s]` is the word that points past the end of segment s: the `next` of its last callback, or that of the segment
 * before, or `head`.  So a segment is empty when its tail equals the tail before, and moving callbacks from segment to
 * segment moves tails only.
 *
 * Invariants, with interrupts off
 *   L1  following `next` from `head` passes the tails in order and ends with 0 at tails[NEXT]
 *   L2  length == callbacks on the list
 *   L3  gpSeq[WAIT] <= gpSeq[NEXT_READY] where both segments have callbacks
 *
 * Linux: kernel/rcu/rcu_segcblist.c.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { array, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";

/** Embedded in what a callback frees.  Linux: struct rcu_head. */
export const RcuHead = struct("rcu_head", {
  next: word("holder", "pointer:rcu_head"),
  functionId: word("holder", "functionId"),
});

export const CallbackList = struct("rcu_segcblist", {
  head: word("owner-cpu", "pointer:rcu_head"),
  tails: array(4, "owner-cpu", "pointer:word"),
  gpSeq: array(4, "owner-cpu"),
  length: word("hint:owner-cpu", "counter"),
});
const list = CallbackList;

const DONE = 0;
const WAIT = 1;
const NEXT_READY = 2;
const NEXT = 3;

/** Whether grace-period number `a` is before `b`; numbers wrap. */
export const seqBefore = (a: number, b: number): boolean => ((a - b) | 0) < 0;

export class Callbacks {
  private readonly memory: Memory;
  private readonly base: Pointer;
  private readonly head: Pointer;
  private readonly tails: Pointer;
  private readonly gpSeq: Pointer;

  /** The list at `base`; `format` it first. */
  constructor(memory: Memory, base: Pointer) {
    this.memory = memory;
    this.base = base;
    this.head = base + list.head;
    this.tails = base + list.tails;
    this.gpSeq = base + list.gpSeq;
  }

  format(): void {
    const { memory, head } = this;
    memory.write(head, 0);
    for (let s = DONE; s <= NEXT; s++) memory.write(this.tails + s, head);
    for (let s = DONE; s <= NEXT; s++) memory.write(this.gpSeq + s, 0);
    memory.write(this.base + list.length, 0);
  }

  get length(): number {
    return this.memory.read(this.base + list.length);
  }

  /** Whether callbacks may run. */
  get isReady(): boolean {
    return this.memory.read(this.tails + DONE) !== this.head;
  }

  /** Whether callbacks wait for no grace period yet. */
  get hasUnassigned(): boolean {
    const { memory, tails } = this;
    return memory.read(tails + NEXT_READY) !== memory.read(tails + NEXT);
  }

  /** The grace period after which all assigned callbacks may run; call it when some wait. */
  get lastSeq(): number {
    const { memory, tails, gpSeq } = this;
    const s = memory.read(tails + WAIT) === memory.read(tails + NEXT_READY) ? WAIT : NEXT_READY;
    return memory.read(gpSeq + s);
  }

  /** Whether callbacks wait for a grace period that is assigned. */
  get isWaiting(): boolean {
    return this.memory.read(this.tails + DONE) !== this.memory.read(this.tails + NEXT_READY);
  }

  /** Adds a callback.  Linux: rcu_segcblist_enqueue.  @irqs off  @cpu local */
  enqueue(head: Pointer): void {
    const { memory, tails } = this;
    memory.write(head + RcuHead.next, 0);
    memory.write(memory.read(tails + NEXT), head);
    memory.write(tails + NEXT, head + RcuHead.next);
    this.grow(1);
  }

  /** Adds a callback behind those that are there, to wait no longer than they.  Linux: rcu_segcblist_entrain.  @irqs off */
  entrain(head: Pointer): void {
    const { memory, tails } = this;
    memory.write(head + RcuHead.next, 0);
    let s = NEXT;
    while (s > DONE && memory.read(tails + s) === memory.read(tails + s - 1)) s--;
    memory.write(memory.read(tails + s), head);
    for (; s <= NEXT; s++) memory.write(tails + s, head + RcuHead.next);
    this.grow(1);
  }

  /** Makes ready whose grace period is `seq` or before.  Linux: rcu_segcblist_advance.  @irqs off */
  advance(seq: number): void {
    const { memory, tails, gpSeq } = this;
    let s = WAIT;
    for (; s < NEXT; s++) {
      if (seqBefore(seq, memory.read(gpSeq + s))) break;
      memory.write(tails + DONE, memory.read(tails + s));
    }
    if (s === WAIT) return;
    const done = memory.read(tails + DONE);
    for (let empty = WAIT; empty < s; empty++) memory.write(tails + empty, done);
    for (let to = WAIT; s < NEXT && memory.read(tails + to) !== memory.read(tails + NEXT); s++, to++) {
      memory.write(tails + to, memory.read(tails + s));
      memory.write(gpSeq + to, memory.read(gpSeq + s));
    }
  }

  /**
   * Lets all callbacks that wait for a later grace period, or none yet, wait for `seq`.
   * Linux: rcu_segcblist_accelerate.
   * @irqs off
   */
  accelerate(seq: number): void {
    const { memory, tails, gpSeq } = this;
    // The newest segment that waits for less; the callbacks behind it join the segment after it.
    let s = NEXT_READY;
    for (; s > DONE; s--) {
      const isEmpty = memory.read(tails + s) === memory.read(tails + s - 1);
      if (!isEmpty && seqBefore(memory.read(gpSeq + s), seq)) break;
    }
    if (memory.read(tails + s) === memory.read(tails + NEXT)) return;
    for (s++; s < NEXT; s++) {
      memory.write(tails + s, memory.read(tails + NEXT));
      memory.write(gpSeq + s, seq);
    }
  }

  /** Takes the ready callbacks off: the first of them, linked to the last, which ends with 0; or 0.  @irqs off */
  takeReady(): Pointer {
    const { memory, head, tails } = this;
    const doneTail = memory.read(tails + DONE);
    if (doneTail === head) return 0;
    const first = memory.read(head);
    memory.write(head, memory.read(doneTail));
    memory.write(doneTail, 0);
    for (let s = DONE; s <= NEXT; s++) {
      if (memory.read(tails + s) === doneTail) memory.write(tails + s, head);
    }
    return first;
  }

  /** Puts back what `takeReady` took and has not run: `first` and on.  @irqs off */
  putBackReady(first: Pointer): void {
    const { memory, head, tails } = this;
    let last = first;
    while (memory.read(last + RcuHead.next) !== 0) last = memory.read(last + RcuHead.next);
    const end = last + RcuHead.next;
    memory.write(end, memory.read(head));
    memory.write(head, first);
    for (let s = DONE; s <= NEXT; s++) {
      if (memory.read(tails + s) !== head) break;
      memory.write(tails + s, end);
    }
  }

  /** Moves all callbacks of `from` behind this list's, to wait for a grace period anew.  @irqs off */
  adopt(from: Callbacks): void {
    const { memory, tails } = this;
    const first = memory.read(from.head);
    if (first === 0) return;
    memory.write(memory.read(tails + NEXT), first);
    memory.write(tails + NEXT, memory.read(from.tails + NEXT));
    this.grow(from.length);
    from.format();
  }

  /** Counts callbacks that have run.  @irqs off */
  shrink(count: number): void {
    this.grow(-count);
  }

  /** L1 to L3. */
  check(name: string): void {
    const { memory, tails } = this;
    let segment = DONE;
    let count = 0;
    for (let at = this.head; ; ) {
      while (segment <= NEXT && memory.read(tails + segment) === at) segment++;
      const next = memory.read(at);
      if (next === 0) break;
      if (++count > this.length) bug(`${name}: more callbacks than its length ${this.length}`);
      at = next + RcuHead.next;
    }
    if (segment <= NEXT) bug(`${name}: the list ends before the tail of segment ${segment}`);
    if (count !== this.length) bug(`${name}: ${count} callbacks, its length is ${this.length}`);
    const hasBoth =
      memory.read(tails + DONE) !== memory.read(tails + WAIT) &&
      memory.read(tails + WAIT) !== memory.read(tails + NEXT_READY);
    const [wait, ready] = [memory.read(this.gpSeq + WAIT), memory.read(this.gpSeq + NEXT_READY)];
    if (hasBoth && seqBefore(ready, wait))
      bug(`${name}: segment NEXT_READY waits for grace period ${ready}, WAIT for ${wait}`);
  }

  private grow(count: number): void {
    this.memory.write(this.base + list.length, this.length + count);
  }
}
