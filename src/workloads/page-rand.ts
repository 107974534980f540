/**
 * Every CPU allocates its share, the blocks are shuffled across all CPUs, and each frees blocks that others allocated:
 * frees that neither the per-CPU lists nor the caches can help.
 *
 * The benchmark `rand` of Wrenger et al., LLFree, USENIX ATC 2023 (see page-bulk).
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { BlockTable, freeTable, nameTable, type TableFrames, takeTable } from "./parts/block-table.ts";
import {
  BLOCK_OPTIONS,
  checkAllBack,
  DRAIN_OPTION,
  failureMetric,
  GFP,
  type PageShare,
  planShare,
} from "./parts/page-share.ts";

export const describe: WorkloadDescription = {
  name: "page-rand",
  summary: "Every CPU allocates its share, all blocks are shuffled, every CPU frees blocks of the others.",
  phases: ["alloc", "free"],
  operation: "one block allocated or freed",
  options: { ...BLOCK_OPTIONS, ...DRAIN_OPTION },
};

interface Shared extends PageShare {
  readonly table: TableFrames;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const share = planShare(kernel, options);
  return { ...share, table: takeTable(kernel, share.blocks * kernel.cpus) };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameTable(kernel, (shared as Shared).table);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu, cpus, pages } = kernel;
  const { blocks, table: frames } = shared as Shared;
  const table = new BlockTable(kernel.memory, frames);
  const order = options.order as number;
  const [first, end] = [cpu.id * blocks, (cpu.id + 1) * blocks];
  let done = 0;
  let failed = 0;
  do {
    kernel.phase("alloc", () => {
      let missing = 0;
      for (let i = first; i < end; i++) {
        const pfn = pages.allocPages(GFP, order);
        if (pfn === 0) missing++;
        table.set(i, pfn);
        cpu.endOperation();
      }
      failed += missing;
      return blocks - missing;
    });
    kernel.gate();
    if (cpu.id === 0) table.shuffle(blocks * cpus, cpu.random);
    kernel.phase("free", () => {
      let freed = 0;
      for (let i = first; i < end; i++) {
        const pfn = table.get(i);
        if (pfn !== 0) {
          pages.freePages(pfn, order);
          freed++;
        }
        cpu.endOperation();
      }
      if (options.drain as boolean) pages.drain.cpu(cpu.id);
      return freed;
    });
    done += 2 * blocks;
  } while (kernel.anotherRound(done));
  return failureMetric(failed);
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  freeTable(kernel, (shared as Shared).table);
  checkAllBack(kernel, options, values, shared);
}
