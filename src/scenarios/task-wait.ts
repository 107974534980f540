/** A process waits for its child while that ends: it hears of the end, however the two meet, and finds the exit status. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import type { WaitResult } from "../process/tasks/blocking-calls.ts";
import type { YieldingUser } from "../process/tasks/user.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "task-wait",
  summary: "a process waits for its child while that ends on another CPU",
  cpus: 2,
  memory: "2MiB",
  stepLimit: 60_000,
  mutants: ["wait-looks-first", "exit-notify-early"],
};
export const needs = ["scheduler"] as const;

const STATUS = 5;

const programs = {
  *main(user: YieldingUser): Generator<undefined, void> {
    const pid = user.fork("child");
    const found: WaitResult = yield* user.wait4(pid);
    if (found.pid !== pid || found.status !== STATUS << 8)
      bug(`wait for child ${pid} gives pid ${found.pid}, status ${found.status}`);
    const none = yield* user.wait4();
    if (none.pid !== -user.ERRNO.ECHILD) bug(`wait without a child gives ${none.pid}`);
  },
  child: (): number => STATUS,
};

export function setup({ scheduler }: Kernel): void {
  scheduler.use(programs);
  scheduler.spawn("main");
}

export function attach({ scheduler }: Kernel): void {
  scheduler.use(programs);
}

export function run({ scheduler }: Kernel): void {
  scheduler.runTasks();
}

export function check(kernel: Kernel): void {
  kernel.rcu.barrier();
  const left = kernel.scheduler.check();
  if (left !== 0) bug(`${left} tasks are left`);
  checkSpaces(kernel);
}
