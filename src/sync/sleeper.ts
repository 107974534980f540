/**
 * Who owns a sleeping lock, and how an owner-to-be sleeps: the seam between the locks and what runs on a CPU.
 *
 * Each CPU runs one task, so an owner is 1 + CPU, and to sleep is to halt the CPU until its own word is stored.  With
 * tasks that are switched, an owner is a task, `sleep` is a call of the scheduler, and the locks stay as they are.
 *
 *   state:  RUNNING --prepare--> SLEEPING --wakeUp, or cancel--> RUNNING
 *
 * `prepare`, then a look at the condition, then `sleep`: a wake-up that comes between the look and the sleep has already
 * put the state back, and `sleep` returns at once.  Linux: set_current_state, schedule, wake_up_process.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { array, float64, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { OptimisticSpinQueue } from "./osq.ts";

const RUNNING = 0;
const SLEEPING = 1;

/** One sleeper's record, and its place in the wait list of a lock: a task waits for one sleeping lock at a time. */
export const Sleeper = struct("sleeper", {
  state: word("atomic"),
  /** What it waits for: a mutex, or an rwsem to read or to write. */
  kind: word("owner-cpu"),
  next: word("lock:wait_lock", "pointer:sleeper"),
  previous: word("lock:wait_lock", "pointer:sleeper"),
  owner: word("owner-cpu"),
  /** rwsem reader: 1 while it waits; the waker clears it when it has given it the lock. */
  waiting: word("atomic"),
  /** rwsem: 1 when the hand-off bit was set in this waiter's name. */
  handOff: word("lock:wait_lock"),
  pad: word("boot"),
  /** rwsem: when waiting any longer counts as too long. */
  impatientNs: float64("owner-cpu"),
  end: array(6, "boot"),
});

const sleeper = Sleeper;

export interface SleepingLockSlots {
  readonly sleepers: PerCpuSlot;
  readonly osq: PerCpuSlot;
}

/** Reserves what each CPU needs to sleep for locks and to spin for them: for mutexes and rwsems. */
export function declareSleepingLocks(image: ImageLayout): SleepingLockSlots {
  return { sleepers: Sleepers.declare(image), osq: OptimisticSpinQueue.declare(image) };
}

/** The sleepers, seen from one CPU. */
export class Sleepers {
  /** This CPU's task as an owner: nonzero. */
  readonly self: number;
  /** This CPU's record. */
  readonly own: Pointer;
  readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly slot: PerCpuSlot;

  constructor(cpu: Cpu, slot: PerCpuSlot) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.slot = slot;
    this.self = cpu.id + 1;
    this.own = slot.of(cpu.id);
  }

  static declare(image: ImageLayout): PerCpuSlot {
    return image.perCpu("sleeper", Sleeper);
  }

  /** From here on a `wakeUp` ends the next `sleep`. */
  prepare(): void {
    this.memory.store(this.own + sleeper.state, SLEEPING);
  }

  /** Sleeps until woken; false after `timeoutNs`.  @may-sleep */
  sleep(timeoutNs = Infinity): boolean {
    this.cpu.beforeSleep();
    return this.memory.waitWhile(this.own + sleeper.state, -1, SLEEPING, timeoutNs);
  }

  /** Ends what `prepare` began without having slept, or after a sleep. */
  cancel(): void {
    this.memory.store(this.own + sleeper.state, RUNNING);
  }

  /** Wakes `owner`, if it sleeps or is about to. */
  wakeUp(owner: number): void {
    const state = this.slot.of(owner - 1) + sleeper.state;
    this.memory.store(state, RUNNING);
    this.memory.wake(state);
  }

  /** Wakes `owner` if it sleeps or is about to; whether it did.  Linux: try_to_wake_up. */
  tryWakeUp(owner: number): boolean {
    const state = this.slot.of(owner - 1) + sleeper.state;
    if (this.memory.cas(state, SLEEPING, RUNNING) !== SLEEPING) return false;
    this.memory.wake(state);
    return true;
  }

  /** Whether `owner` is on its CPU, not asleep.  Linux: owner_on_cpu. */
  isRunning(owner: number): boolean {
    return this.memory.load(this.slot.of(owner - 1) + sleeper.state) === RUNNING;
  }
}
