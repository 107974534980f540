/**
 * Every CPU allocates and frees one block again and again, while part of the memory is taken: what the per-CPU page
 * lists absorb.  An allocation and a free are two operations.
 *
 * The benchmark `repeat` of Wrenger et al., LLFree, USENIX ATC 2023 (see page-bulk).
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { Pfn } from "../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { freeChain, takeChain } from "./parts/block-chain.ts";
import {
  BLOCK_OPTIONS,
  checkAllBack,
  failureMetric,
  GFP,
  type PageShare,
  planShare,
} from "./parts/page-share.ts";

export const describe: WorkloadDescription = {
  name: "page-repeat",
  summary: "Part of the memory is taken; every CPU allocates and frees one block again and again.",
  phases: ["pair"],
  operation: "one block allocated, or one freed: a pair is two operations",
  options: {
    ...BLOCK_OPTIONS,
    fraction: { ...BLOCK_OPTIONS.fraction, help: "part of the free memory that is taken before" },
  },
};

interface Shared extends PageShare {
  readonly taken: Pfn;
}

export function setup(kernel: Kernel, options: ProgramOptions): Shared {
  const share = planShare(kernel, options);
  return { ...share, taken: takeChain(kernel, share.blocks * kernel.cpus, options.order as number) };
}

export function run(kernel: Kernel, options: ProgramOptions): MetricsValue {
  const { cpu, pages } = kernel;
  const order = options.order as number;
  let failed = 0;
  kernel.phase("pair", () => {
    let done = 0;
    while (kernel.more(done)) {
      const pfn = pages.allocPages(GFP, order);
      cpu.endOperation();
      if (pfn === 0) failed++;
      else pages.freePages(pfn, order);
      cpu.endOperation();
      done += 2;
    }
    return done;
  });
  return failureMetric(failed);
}

export function check(
  kernel: Kernel,
  options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  freeChain(kernel, (shared as Shared).taken, options.order as number);
  checkAllBack(kernel, options, values, shared);
}
