/**
 * Condition variables: wait, under a mutex, until another task says that something has changed.
 *
 * The waiter queues itself before it gives the mutex away, so a signal that comes between the two finds it.  `wait`
 * returns only when it was signalled or its time is up; the condition itself is the caller's to look at again, for
 * others may have had the mutex first.
 *
 * Linux: none; POSIX pthread_cond_wait over kernel/sched/wait.c.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { embed, struct } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { WaitQueueHead, type WaitQueues } from "./wait-queue.ts";

export const Condition = struct("condition", { wait: embed(WaitQueueHead, "lock:wait_queue.lock") });
const condition = Condition;

/** The mutexes that conditions go with. */
export interface Lockable {
  lock(at: Pointer): void;
  unlock(at: Pointer): void;
}

export class Conditions {
  private readonly cpu: Cpu;
  private readonly queues: WaitQueues;
  private readonly mutexes: Lockable;

  constructor(cpu: Cpu, queues: WaitQueues, mutexes: Lockable) {
    this.cpu = cpu;
    this.queues = queues;
    this.mutexes = mutexes;
  }

  format(at: Pointer): void {
    this.queues.format(at + condition.wait);
  }

  /**
   * Gives `mutex` away, sleeps until signalled, and takes `mutex` again; false after `timeoutNs` without a signal.
   * @holds mutex  @may-sleep
   */
  wait(at: Pointer, mutex: Pointer, timeoutNs = Infinity): boolean {
    const { cpu, queues, mutexes } = this;
    cpu.mightSleep("condition wait");
    const deadlineNs = timeoutNs === Infinity ? Infinity : cpu.nowNs() + timeoutNs;
    queues.prepareToWait(at + condition.wait, true);
    mutexes.unlock(mutex);
    for (let inTime = true; inTime; ) {
      inTime = queues.sleepers.sleep(deadlineNs === Infinity ? Infinity : deadlineNs - cpu.nowNs());
      if (!queues.stillWaits(at + condition.wait)) break;
    }
    const wasQueued = queues.finishWait(at + condition.wait);
    mutexes.lock(mutex);
    return !wasQueued;
  }

  /** Wakes the task that has waited longest. */
  signal(at: Pointer): void {
    this.queues.wake(at + condition.wait, 1);
  }

  /** Wakes all. */
  broadcast(at: Pointer): void {
    this.queues.wakeAll(at + condition.wait);
  }

  check(at: Pointer): void {
    this.queues.check(at + condition.wait);
  }
}
