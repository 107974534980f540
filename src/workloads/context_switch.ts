/**
 * Two tasks on each CPU give way to each other: what a context switch costs, between threads of a process and between
 * processes, whose address spaces it changes.
 *
 * After each switch a task reads some of its pages: with process-context identifiers (pcid) the TLB remembers them from its
 * last turn, without each is walked for again.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { YieldingUser } from "../process/tasks/user.ts";
import type { WorkloadDescription } from "./description.ts";
import { checkNoTasks, pagesWithoutTasks } from "./parts/tasks-back.ts";

export const describe: WorkloadDescription = {
  name: "context_switch",
  summary: "Two tasks on each CPU give way to each other, and read some of their pages at each turn.",
  phases: ["switches"],
  operation: "one context switch",
  explore: { operations: 2, options: { pages: 1 } },
  options: {
    mode: {
      type: "choice",
      default: "process",
      choices: ["process", "thread"],
      help: "the two tasks are processes, or threads of one",
    },
    pages: { type: "integer", default: 8, min: 0, max: 4096, help: "pages that a task reads at each turn" },
  },
};
export const needs = ["scheduler"] as const;

/** Each task's own region, and its turns. */
function* giveWay(user: YieldingUser, pages: number): Generator<undefined, void> {
  const start = pages === 0 ? 0 : user.mmap(pages * PAGE_BYTES);
  if (start < 0) bug(`mmap of ${pages} pages gives ${start}`);
  for (let page = 0; page < pages; page++) user.write32(start + page * PAGE_BYTES, page);
  for (let turn = 0; user.more(turn); turn++) {
    for (let page = 0; page < pages; page++) user.read32(start + page * PAGE_BYTES);
    yield* user.schedYield();
  }
}

const programs = {
  giveWay,
  /** The first of two threads. */
  *both(user: YieldingUser, pages: number): Generator<undefined, void> {
    if (user.thread("giveWay", pages) < 0) bug("no memory for a thread");
    yield* giveWay(user, pages);
    user.exit();
  },
};

/** Pages that were free or slabs when there was no task. */
export function setup(kernel: Kernel, options: ProgramOptions): number {
  const { scheduler, cpus } = kernel;
  scheduler.use(programs);
  const pages = pagesWithoutTasks(kernel);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const names = options.mode === "process" ? ["giveWay", "giveWay"] : ["both"];
    for (const name of names) scheduler.spawn(name, [options.pages as number], [cpu]);
  }
  return pages;
}

export function attach({ scheduler }: Kernel): void {
  scheduler.use(programs);
}

export function run(kernel: Kernel): void {
  const { scheduler } = kernel;
  kernel.phase("switches", () => {
    const before = scheduler.switches;
    scheduler.runTasks();
    return scheduler.switches - before;
  });
}

export function check(kernel: Kernel, _options: ProgramOptions, _values: unknown, pages: unknown): void {
  checkNoTasks(kernel, pages as number);
}
