/**
 * Processes follow each other on a CPU, and each has ended before the next begins: the CPU keeps the last one's address space
 * until it has loaded the next, and then lets it go.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import type { User } from "../process/tasks/user.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "task-exit",
  summary: "processes end and follow each other on a CPU, which frees the address space of the last one",
  cpus: 2,
  memory: "2MiB",
  stepLimit: 60_000,
  mutants: ["exit-mm-no-grab"],
};
export const needs = ["scheduler"] as const;

const PAGE = 4096;

const programs = {
  short(user: User, value: number): void {
    const at = user.mmap(PAGE);
    user.write32(at, value);
    if (user.read32(at) !== value) bug(`process ${value} does not find what it wrote`);
  },
};

export function setup({ scheduler }: Kernel): void {
  scheduler.use(programs);
  for (let value = 1; value <= 2; value++) scheduler.spawn("short", [value], [0]);
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
  if (checkSpaces(kernel) !== 0) bug("an address space is left");
}
