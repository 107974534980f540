/** What state a task is in, and what it runs.  Linux: include/linux/sched.h, arch/x86/include/asm/thread_info.h. */

import type { Pointer } from "../../memory/units.ts";

/** Linux: TASK_*; `exitState` has EXIT_*. */
export const TaskState = {
  RUNNING: 0,
  INTERRUPTIBLE: 1,
  UNINTERRUPTIBLE: 2,
  EXIT_DEAD: 0x10,
  EXIT_ZOMBIE: 0x20,
  DEAD: 0x80,
  /** Only fatal signals end the sleep: TASK_WAKEKILL | TASK_UNINTERRUPTIBLE. */
  KILLABLE: 0x102,
  /** Somebody is about to put it on a run queue. */
  WAKING: 0x200,
  NEW: 0x800,
} as const;

/** `onRq`: not on a run queue; queued or running there; being moved to another one.  Linux: TASK_ON_RQ_*. */
export const OnRq = { NO: 0, QUEUED: 1, MIGRATING: 2 } as const;
/** Linux: TIF_*. */
export const ThreadFlag = { NEED_RESCHED: 1, SIGPENDING: 2 } as const;
/** Linux: SIGNAL_GROUP_EXIT. */
export const SIGNAL_GROUP_EXIT = 4;
/** The form of what a task runs. */
export const ProgramForm = { PLAIN: 0, GENERATOR: 1, STEP: 2 } as const;

/** Signal numbers.  Linux: SIGKILL, SIGBUS, SIGSEGV, SIGCHLD. */
export const Signal = { KILL: 9, BUS: 7, SEGV: 11, CHLD: 17 } as const;
/** Word index of a task. */
export type TaskRef = Pointer;
