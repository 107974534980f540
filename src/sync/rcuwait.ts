/**
 * The simplest of waits: one task waits for a condition, whoever makes it true wakes that task.
 *
 *   waiter   names itself, looks at the condition, sleeps        waker   makes the condition true, looks who waits, wakes
 *
 * So either the waiter sees the condition, or the waker sees the waiter.  There is one waiter at a time; wakers may be many,
 * and may wake without need.  Linux: kernel/exit.c rcuwait_wake_up, include/linux/rcuwait.h.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import type { Sleepers } from "./sleeper.ts";

export const RcuWait = struct("rcuwait", {
  /** As sleepers call a task; 0: nobody waits. */
  task: word("atomic"),
});

/** Sleeps until `condition` holds.  Linux: rcuwait_wait_event.  @may-sleep */
export function rcuWaitEvent(cpu: Cpu, sleepers: Sleepers, at: Pointer, condition: () => boolean): void {
  const { memory } = cpu;
  cpu.mightSleep("rcuwait_wait_event");
  memory.store(at + RcuWait.task, sleepers.self);
  for (;;) {
    sleepers.prepare();
    if (condition()) break;
    sleepers.sleep();
  }
  sleepers.cancel();
  memory.store(at + RcuWait.task, 0);
}

/** Wakes who waits, if anybody does.  Linux: rcuwait_wake_up. */
export function rcuWaitWake(cpu: Cpu, sleepers: Sleepers, at: Pointer): void {
  const task = cpu.memory.load(at + RcuWait.task);
  if (task !== 0) sleepers.tryWakeUp(task);
}
