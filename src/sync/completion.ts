/**
 * Completions: one side says that something is done, the other waits for it.  `done` counts what has been said and not
 * been waited for, so it does not matter who comes first.
 *
 * Linux: kernel/sched/completion.c.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Memory } from "../memory/memory.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { LockClass } from "./lock-class.ts";
import { WaitQueueHead, type WaitQueues } from "./wait-queue.ts";

export const Completion = struct("completion", {
  wait: embed(WaitQueueHead, "lock:wait_queue.lock"),
  done: word("lock:wait_queue.lock", "counter"),
  pad: word("boot"),
});
const completion = Completion;

/** `done` after `completeAll`: everybody passes, for ever. */
const ALL = 0x7fffffff;

export class Completions {
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly queues: WaitQueues;

  constructor(cpu: Cpu, queues: WaitQueues) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.queues = queues;
  }

  /** Linux: init_completion. */
  format(at: Pointer): void {
    this.queues.format(at + completion.wait, LockClass.COMPLETION);
    this.memory.write(at + completion.done, 0);
  }

  /** Makes the completion new again; nobody may wait for it.  Linux: reinit_completion. */
  reinit(at: Pointer): void {
    this.memory.write(at + completion.done, 0);
  }

  /** Lets one waiter pass, this or a later one.  Linux: complete. */
  complete(at: Pointer): void {
    const flags = this.lock(at);
    const done = this.memory.read(at + completion.done);
    if (done !== ALL) this.memory.write(at + completion.done, done + 1);
    this.queues.wakeLocked(at + completion.wait, 1);
    this.unlock(at, flags);
  }

  /** Lets all pass.  Linux: complete_all. */
  completeAll(at: Pointer): void {
    const flags = this.lock(at);
    this.memory.write(at + completion.done, ALL);
    this.queues.wakeLocked(at + completion.wait, Infinity);
    this.unlock(at, flags);
  }

  /** Waits for a `complete`; false after `timeoutNs`.  Linux: wait_for_completion_timeout.  @may-sleep */
  wait(at: Pointer, timeoutNs = Infinity): boolean {
    const { cpu, memory, queues } = this;
    cpu.mightSleep("wait_for_completion");
    const deadlineNs = timeoutNs === Infinity ? Infinity : cpu.nowNs() + timeoutNs;
    let flags = this.lock(at);
    for (let inTime = true; inTime && memory.read(at + completion.done) === 0; ) {
      if (!queues.isQueued) queues.enqueue(at + completion.wait, true);
      queues.sleepers.prepare();
      this.unlock(at, flags);
      inTime = queues.sleepers.sleep(deadlineNs === Infinity ? Infinity : deadlineNs - cpu.nowNs());
      flags = this.lock(at);
    }
    queues.sleepers.cancel();
    queues.dequeue();
    const passed = this.take(at);
    this.unlock(at, flags);
    return passed;
  }

  /** Passes if that is possible without waiting.  Linux: try_wait_for_completion. */
  tryWait(at: Pointer): boolean {
    const flags = this.lock(at);
    const passed = this.take(at);
    this.unlock(at, flags);
    return passed;
  }

  /** Whether a waiter would pass.  Linux: completion_done. */
  isDone(at: Pointer): boolean {
    const flags = this.lock(at);
    const done = this.memory.read(at + completion.done);
    this.unlock(at, flags);
    return done !== 0;
  }

  private take(at: Pointer): boolean {
    const done = this.memory.read(at + completion.done);
    if (done === 0) return false;
    if (done !== ALL) this.memory.write(at + completion.done, done - 1);
    return true;
  }

  private lock(at: Pointer): number {
    return this.queues.locks.lockIrqSave(at + completion.wait + WaitQueueHead.lock);
  }

  private unlock(at: Pointer, flags: number): void {
    this.queues.locks.unlockIrqRestore(at + completion.wait + WaitQueueHead.lock, flags);
  }
}
