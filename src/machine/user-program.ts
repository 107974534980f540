/**
 * A file of programs as a kernel module: it starts a process with `main`, and runs tasks on every CPU until all have ended.
 */

import { UsageError } from "../memory/bug.ts";
import type { EndedTask, PrintedLine } from "../process/tasks/task-scheduler.ts";
import { TASK_ARGUMENTS } from "../sync/task.ts";
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
      const values = argumentsOf(options);
      if (values.length > TASK_ARGUMENTS)
        throw new UsageError(
          `user program: option args: ${values.length} integers; valid are 0 to ${TASK_ARGUMENTS}`,
        );
      kernel.scheduler.use(programs);
      kernel.scheduler.spawn("main", values);
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
