/** That nothing is left of a workload's tasks: no task, no address space, no page. */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { checkSpaces } from "../../process/check-spaces.ts";
import { checkPagesBack, freeAndSlabPages } from "./pages-back.ts";

/** Makes what all tasks share, which stays; pages that are free or slabs then. */
export function pagesWithoutTasks(kernel: Kernel): number {
  const { processes, scheduler } = kernel;
  processes.start();
  scheduler.table.start();
  // The first address space has per-CPU memory made ready that stays so.
  const mm = processes.spaces.make();
  if (mm === 0) bug("no memory for an address space");
  processes.spaces.put(mm);
  kernel.rcu.barrier();
  return freeAndSlabPages(kernel);
}

/** At rest; `pages` as `pagesWithoutTasks` said. */
export function checkNoTasks(kernel: Kernel, pages: number): void {
  kernel.rcu.barrier();
  kernel.cpu.endOperation();
  const left = kernel.scheduler.check();
  if (left !== 0) bug(`${left} tasks are left`);
  const spaces = checkSpaces(kernel);
  if (spaces !== 0) bug(`${spaces} address spaces are left`);
  checkPagesBack(kernel, pages);
}
