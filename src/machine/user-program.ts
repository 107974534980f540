/**
 * A file of programs as a kernel module: it starts a process with `main`, and runs tasks on every CPU until all have ended.
 */

import type { EndedTask, PrintedLine } from "../process/tasks/task-scheduler.ts";
import type { Kernel } from "./kernel.ts";
import type { KernelModule } from "./program.ts";
import { argumentsOf } from "./user-program-options.ts";

/** What a user program's run has on each CPU, as the CPU's `value`. */
export interface TasksValue {
  readonly ends: readonly EndedTask[];
  readonly lines: readonly PrintedLine[];
  /** Context switches. */
  readonly switches: number;
}

export function userProgramModule(programs: Readonly<Record<string, unknown>>): KernelModule {
  return {
    needs: ["scheduler"],
    setup(kernel, options) {
      kernel.scheduler.use(programs);
      kernel.scheduler.spawn("main", argumentsOf(options));
      return null;
    },
    attach({ scheduler }) {
      scheduler.use(programs);
      scheduler.takeOutput();
      return null;
    },
    run: runTasks,
    check(kernel) {
      kernel.rcu.barrier();
      kernel.scheduler.check();
    },
  };
}

function runTasks(kernel: Kernel): TasksValue {
  const { scheduler } = kernel;
  const before = scheduler.switches;
  kernel.phase("tasks", () => {
    scheduler.runTasks();
    return scheduler.switches - before;
  });
  return { ...scheduler.takeOutput(), switches: scheduler.switches - before };
}
