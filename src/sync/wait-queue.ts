/**
 * Wait queues: tasks that sleep until something is true, and are woken by whoever makes it true.
 *
 * A waiter queues itself, *then* looks at the condition, and only then sleeps; the other side makes the condition true
 * and then wakes.  So either the waiter sees it, or the waker sees the waiter.  Waking takes the entry off the queue.
 * Exclusive waiters queue behind the others and are woken one at a time, in order.
 *
 * Each CPU has one entry: its task waits in one queue at a time.
 *
 * Invariants, while the queue's lock is free
 *   Q1  the links of the queue agree in both directions
 *   Q2  no exclusive entry lies before one that is not
 *   Q3  at rest the queue is empty
 *
 * Linux: kernel/sched/wait.c, include/linux/wait.h.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import {
  checkedListLength,
  ListHead,
  listAdd,
  listAddTail,
  listDelInit,
  listInit,
  listIsEmpty,
} from "../memory/list.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import type { FunctionId, Functions } from "./functions.ts";
import { LockClass } from "./lock-class.ts";
import type { Sleepers } from "./sleeper.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";

export const WaitQueueHead = struct("wait_queue_head", {
  lock: embed(SpinLock, "atomic"),
  entries: embed(ListHead, "lock:wait_queue.lock"),
});

export const WaitQueueEntry = struct("wait_queue_entry", {
  link: embed(ListHead, "lock:wait_queue.lock"),
  flags: word("lock:wait_queue.lock", "flags"),
  /** The task that waits: see Sleepers. */
  owner: word("holder"),
  /** Called with the entry and the waker's key: > 0 woken, 0 not, < 0 wake nobody else; 0 wakes and takes off. */
  functionId: word("holder", "functionId"),
  pad: word("boot"),
});

const head = WaitQueueHead;
const entry = WaitQueueEntry;
const EXCLUSIVE = 1;
/** The waiter looks at the condition before it queues itself, and not again. */
const looksTooEarly = mutant("wait-queue-lost-wakeup");

export interface WaitQueueParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly sleepers: Sleepers;
  readonly functions: Functions;
  readonly entries: PerCpuSlot;
}

export class WaitQueues {
  readonly locks: SpinLocks;
  readonly sleepers: Sleepers;
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly functions: Functions;
  private readonly entries: PerCpuSlot;
  private readonly own: Pointer;

  constructor(parts: WaitQueueParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.locks = parts.locks;
    this.sleepers = parts.sleepers;
    this.functions = parts.functions;
    this.entries = parts.entries;
    this.own = parts.entries.of(parts.cpu.id);
  }

  static declare(layout: ImageLayout): PerCpuSlot {
    return layout.perCpu("wait_queue_entry", WaitQueueEntry);
  }

  /** First state of the CPUs' entries, on the boot CPU. */
  formatEntries(cpus: number): void {
    for (let cpu = 0; cpu < cpus; cpu++) {
      const at = this.entries.of(cpu);
      listInit(this.memory, at);
      this.memory.write(at + entry.owner, cpu + 1);
    }
  }

  /** Makes the words at `queue` an empty queue.  Linux: init_waitqueue_head. */
  format(queue: Pointer, classId: number = LockClass.WAIT_QUEUE): void {
    this.locks.format(queue + head.lock, classId);
    listInit(this.memory, queue + head.entries);
  }

  // ---- waiting ----

  /** Sleeps until `condition` holds.  Linux: wait_event.  @may-sleep */
  waitEvent(queue: Pointer, condition: () => boolean): void {
    this.waitUntil(queue, condition, false, Infinity);
  }

  /** The same as one of those that are woken one at a time.  Linux: wait_event_exclusive.  @may-sleep */
  waitEventExclusive(queue: Pointer, condition: () => boolean): void {
    this.waitUntil(queue, condition, true, Infinity);
  }

  /** Sleeps until `condition` holds, or `timeoutNs` have passed; whether it holds.  Linux: wait_event_timeout.  @may-sleep */
  waitEventTimeout(queue: Pointer, condition: () => boolean, timeoutNs: number): boolean {
    return this.waitUntil(queue, condition, false, timeoutNs);
  }

  /** Queues this CPU's task; a wake-up from here on ends its next sleep.  Linux: prepare_to_wait. */
  prepareToWait(queue: Pointer, isExclusive: boolean): void {
    const { memory, locks, own } = this;
    const flags = locks.lockIrqSave(queue + head.lock);
    if (listIsEmpty(memory, own)) this.enqueue(queue, isExclusive);
    this.sleepers.prepare();
    locks.unlockIrqRestore(queue + head.lock, flags);
  }

  /** Ends what `prepareToWait` began; whether the task was still queued: nobody has woken it.  Linux: finish_wait. */
  finishWait(queue: Pointer): boolean {
    const { memory, locks, own } = this;
    this.sleepers.cancel();
    const flags = locks.lockIrqSave(queue + head.lock);
    const wasQueued = !listIsEmpty(memory, own);
    if (wasQueued) listDelInit(memory, own);
    locks.unlockIrqRestore(queue + head.lock, flags);
    return wasQueued;
  }

  /** Whether this CPU's task is still queued; if so, a wake-up from here on ends its next sleep. */
  stillWaits(queue: Pointer): boolean {
    const { memory, locks, own } = this;
    const flags = locks.lockIrqSave(queue + head.lock);
    const isQueued = !listIsEmpty(memory, own);
    if (isQueued) this.sleepers.prepare();
    locks.unlockIrqRestore(queue + head.lock, flags);
    return isQueued;
  }

  /** Whether this CPU's task is queued.  @holds wait_queue.lock */
  get isQueued(): boolean {
    return !listIsEmpty(this.memory, this.own);
  }

  /** Queues this CPU's task, which is on no queue.  @holds wait_queue.lock  @irqs off */
  enqueue(queue: Pointer, isExclusive: boolean): void {
    const { memory, own } = this;
    memory.write(own + entry.flags, isExclusive ? EXCLUSIVE : 0);
    memory.write(own + entry.functionId, 0);
    if (isExclusive) listAddTail(memory, own, queue + head.entries);
    else listAdd(memory, own, queue + head.entries);
  }

  /** Takes this CPU's task off its queue, if it is on it.  @holds wait_queue.lock  @irqs off */
  dequeue(): void {
    if (this.isQueued) listDelInit(this.memory, this.own);
  }

  /** Queues an entry of the caller's own, whose function is called at each wake-up.  Linux: add_wait_queue. */
  addEntry(queue: Pointer, at: Pointer, id: FunctionId): void {
    const { memory, locks } = this;
    const flags = locks.lockIrqSave(queue + head.lock);
    memory.write(at + entry.flags, 0);
    memory.write(at + entry.owner, 0);
    memory.write(at + entry.functionId, id);
    listAdd(memory, at, queue + head.entries);
    locks.unlockIrqRestore(queue + head.lock, flags);
  }

  /** Linux: remove_wait_queue. */
  removeEntry(queue: Pointer, at: Pointer): void {
    const flags = this.locks.lockIrqSave(queue + head.lock);
    listDelInit(this.memory, at);
    this.locks.unlockIrqRestore(queue + head.lock, flags);
  }

  // ---- waking ----

  /** Wakes all that are not exclusive, and `exclusive` of those that are.  Linux: wake_up_nr. */
  wake(queue: Pointer, exclusive = 1, key = 0): void {
    const flags = this.locks.lockIrqSave(queue + head.lock);
    this.wakeLocked(queue, exclusive, key);
    this.locks.unlockIrqRestore(queue + head.lock, flags);
  }

  /** Linux: wake_up_all. */
  wakeAll(queue: Pointer): void {
    this.wake(queue, Infinity);
  }

  /** Linux: __wake_up_common.  @holds wait_queue.lock  @irqs off */
  wakeLocked(queue: Pointer, exclusive: number, key = 0): void {
    const { memory } = this;
    let left = exclusive;
    for (let at = memory.read(queue + head.entries); at !== queue + head.entries; ) {
      const next = memory.read(at);
      const flags = memory.read(at + entry.flags);
      const id = memory.read(at + entry.functionId);
      const verdict = id === 0 ? this.wakeAndTakeOff(at) : this.functions.call(id, at, key);
      if (verdict < 0) break;
      if (verdict > 0 && (flags & EXCLUSIVE) !== 0 && --left === 0) break;
      at = next;
    }
  }

  /** Q1 to Q3. */
  check(queue: Pointer): void {
    const { memory } = this;
    const count = checkedListLength(memory, queue + head.entries, `wait queue at word ${queue}`, 1 << 16);
    let exclusiveSeen = false;
    for (let at = memory.read(queue + head.entries); at !== queue + head.entries; at = memory.read(at)) {
      const isExclusive = (memory.read(at + entry.flags) & EXCLUSIVE) !== 0;
      if (exclusiveSeen && !isExclusive)
        bug(`wait queue at word ${queue}: entry ${at} lies behind an exclusive one`);
      exclusiveSeen ||= isExclusive;
    }
    if (count !== 0) bug(`wait queue at word ${queue}: ${count} entries at rest`);
  }

  /** A task that runs already is not woken, and does not use up an exclusive wake-up.  Linux: autoremove_wake_function. */
  private wakeAndTakeOff(at: Pointer): number {
    if (!this.sleepers.tryWakeUp(this.memory.read(at + entry.owner))) return 0;
    listDelInit(this.memory, at);
    return 1;
  }

  /** Linux: ___wait_event. */
  private waitUntil(
    queue: Pointer,
    condition: () => boolean,
    isExclusive: boolean,
    timeoutNs: number,
  ): boolean {
    this.cpu.mightSleep("wait_event");
    if (condition()) return true;
    const deadlineNs = timeoutNs === Infinity ? Infinity : this.cpu.nowNs() + timeoutNs;
    let holds = false;
    for (let inTime = true; ; ) {
      reached("wait-queue-lost-wakeup");
      if (!looksTooEarly) this.prepareToWait(queue, isExclusive);
      holds = condition();
      if (holds || !inTime) break;
      if (looksTooEarly) this.prepareToWait(queue, isExclusive);
      inTime = this.sleepers.sleep(deadlineNs === Infinity ? Infinity : deadlineNs - this.cpu.nowNs());
    }
    this.finishWait(queue);
    return holds;
  }
}
