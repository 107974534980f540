/**
 * Every CPU allocates and frees one block again and again, while part of the memory is taken: what the per-CPU page
 * lists absorb.  An operation is the pair, as in the benchmark `repeat` of Wrenger et al., LLFree, USENIX ATC 2023 (see
 * page-bulk).
 *
 * The first pair, which takes a batch of pages from the zone, comes before the measured ones: with many CPUs their wait
 * for each other there would be a good part of a short run.
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
  operation: "one pair: a block allocated and freed",
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
  const taken = takeChain(kernel, share.blocks * kernel.cpus, options.order as number);
  // All CPUs begin alike, with empty lists.
  kernel.pages.drain.all();
  return { ...share, taken };
}

export function run(kernel: Kernel, options: ProgramOptions): MetricsValue {
  const { cpu, pages } = kernel;
  const order = options.order as number;
  let failed = 0;
  const first = pages.allocPages(GFP, order);
  if (first !== 0) pages.freePages(first, order);
  kernel.phase("pair", () => {
    let done = 0;
    for (; kernel.more(done); done++) {
      const pfn = pages.allocPages(GFP, order);
      if (pfn === 0) failed++;
      else pages.freePages(pfn, order);
      cpu.endOperation();
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
