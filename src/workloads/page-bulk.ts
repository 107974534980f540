/**
 * Every CPU allocates its share of the memory, then all free theirs: how the buddy allocator itself scales, since the
 * per-CPU lists only pass blocks through in batches.
 *
 * The benchmark `bulk` of Wrenger et al., "LLFree: Scalable and Optionally-Persistent Page-Frame Allocation", USENIX ATC
 * 2023; curves recorded on a real kernel are in test/oracle/linux-buddy-scaling.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { Pfn } from "../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
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
  name: "page-bulk",
  summary: "Every CPU allocates its share of the memory, then all free theirs.",
  phases: ["alloc", "free"],
  operation: "one block allocated or freed",
  options: { ...BLOCK_OPTIONS, ...DRAIN_OPTION },
};

export { checkAllBack as check, planShare as setup };

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu, pages } = kernel;
  const { blocks } = shared as PageShare;
  const order = options.order as number;
  const held: Pfn[] = new Array(blocks).fill(0);
  let done = 0;
  let failed = 0;
  do {
    let count = 0;
    kernel.phase("alloc", () => {
      for (let i = 0; i < blocks; i++) {
        const pfn = pages.allocPages(GFP, order);
        if (pfn === 0) failed++;
        else held[count++] = pfn;
        cpu.endOperation();
      }
      return count;
    });
    kernel.phase("free", () => {
      for (let i = 0; i < count; i++) {
        pages.freePages(held[i], order);
        cpu.endOperation();
      }
      if (options.drain as boolean) pages.drain.cpu(cpu.id);
      return count;
    });
    done += 2 * blocks;
  } while (kernel.anotherRound(done));
  return failureMetric(failed);
}
