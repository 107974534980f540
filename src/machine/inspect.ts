/**
 * Looking at a kernel at rest, on the boot CPU: its invariants, the reports of /proc.  A thread loads this when it is asked.
 */

import { bug, UsageError } from "../memory/bug.ts";
import { checkBoot } from "../mm/boot/boot-check.ts";
import { checkPages } from "../mm/pages/check-pages.ts";
import { checkPerCpu } from "../mm/percpu/check-percpu.ts";
import { checkTables } from "../mm/shootdown/check-tables.ts";
import { checkTlbs } from "../mm/shootdown/check-tlb.ts";
import { checkKmalloc } from "../mm/slab/check-kmalloc.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import { checkVmap } from "../mm/vmap/check-vmap.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { checkTasks } from "../process/tasks/check-tasks.ts";
import { reportNamed } from "../procfs/reports.ts";

import { checkSpinLocks } from "../sync/spinlock.ts";
import type { Kernel } from "./kernel.ts";

/** What a check of the whole kernel has looked at. */
export interface CheckReport {
  readonly freePages: number;
  /** Names of the checks that passed, in order. */
  readonly passed: readonly string[];
}

/** What a report does not find by the name it was asked for. */
export interface RefusedReport {
  readonly refused: string;
}

/** The text of a report that needs a kernel and no measurement. */
export function renderReport(kernel: Kernel, name: string): string {
  const report = reportNamed(name);
  if ("render" in report) return report.render(kernel);
  return bug(`report ${name} is made of what workload ${report.workload} measures`);
}

/** What `answer` says, where a user's mistake is an answer, too: the machine goes on. */
export function orRefusal<T>(answer: () => T): T | RefusedReport {
  try {
    return answer();
  } catch (error) {
    if (error instanceof UsageError) return { refused: error.message };
    throw error;
  }
}

/** Runs the invariants of every subsystem; throws at the first that does not hold. */
export function checkKernel(kernel: Kernel): CheckReport {
  const { memory, image, pages, topology, calls, rcu, perCpuChunks, slabs, heap, vmap, paging } = kernel;
  const freePages = checkPages(pages.frames, pages.vmstat);
  checkBoot(memory, image.mm);
  checkSpinLocks(memory, image.spin, topology.possibleCpus);
  calls.check();
  kernel.broadcasts.check();
  rcu.check();
  checkPerCpu(perCpuChunks, memory);
  kernel.stacks.check();
  checkSlabs(slabs);
  checkKmalloc(heap, pages);
  checkVmap(vmap);
  checkTables(paging.tables, pages.frames.nodeCount);
  checkTlbs(paging, kernel.cpu.tlb, kernel.masks);
  checkSpaces(kernel);
  checkTasks(kernel);
  return {
    freePages,
    passed: [
      "buddy",
      "page lists",
      "counters",
      "zones",
      "locks",
      "call queues",
      "rcu",
      "per-CPU memory",
      "kernel stacks",
      "slabs",
      "kmalloc",
      "kernel virtual memory",
      "page tables",
      "TLBs",
      "address spaces",
      "tasks",
    ],
  };
}
