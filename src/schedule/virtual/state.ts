/**
 * The words of simulated time, inside the control buffer's `serial` blocks.  Only the CPU that has the baton touches them,
 * so plain accesses are enough.
 */

import { bug } from "../../memory/bug.ts";
import { CpuControl, cpuControl } from "../../memory/control.ts";
import { float64, struct, word, wordsIn } from "../../memory/struct.ts";

export const VirtualShared = struct("virtual", {
  /** CPUs that take part and have entered. */
  joined: word("atomic", "counter"),
  /** CPUs that wait on an address: 0 makes wake() free. */
  waiting: word("lock:schedulerLock", "counter"),
  /** The limit for the CPU that gets the baton. */
  limit: float64("lock:schedulerLock"),
  /** How far ahead of the limit a CPU may run on lines of its own. */
  lead: float64("lock:schedulerLock"),
});

export const VirtualCpu = struct("virtual_cpu", {
  baton: word("atomic"),
  status: word("lock:schedulerLock"),
  kicked: word("lock:schedulerLock"),
  timedOut: word("lock:schedulerLock"),
  /** Where the clock stood when the CPU left its last run, cycles. */
  clock: float64("lock:schedulerLock"),
  /** A waiter's own clock. */
  waitClock: float64("lock:schedulerLock"),
  /** When the latest pending interrupt arrives. */
  arrival: float64("lock:schedulerLock"),
});
if (wordsIn(VirtualCpu) > 16 || wordsIn(VirtualShared) > 64)
  bug("the virtual blocks do not fit the control buffer");

export const VirtualStatus = { OFF: 0, RUNNABLE: 1, WAITING: 2, PARKED: 3 } as const;
export const VIRTUAL_STATUS_NAMES: readonly string[] = ["off", "runnable", "waiting", "parked"];

/** First word of `cpu` in the control buffer. */
export const virtualCpuBase = (cpu: number): number => cpuControl(cpu) + CpuControl.serial;
