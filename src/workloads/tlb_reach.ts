/**
 * How far a TLB reaches in small and in large pages: the same memory is read, a word a page, at its addresses in the vmalloc range,
 * which has pages of 4 KiB, and in the direct map, which has pages of 2 MiB.
 *
 * In simulated time a hit costs nothing and a walk its reads of the tables.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug, UsageError } from "../memory/bug.ts";
import { PAGE_BYTES, pfnOf } from "../memory/units.ts";
import { virtualOfPfn } from "../mm/vmap/direct-map.ts";
import type { Metric, MetricsValue, WorkloadDescription } from "./description.ts";
import { restingFreePages } from "./parts/page-share.ts";

export const describe: WorkloadDescription = {
  name: "tlb_reach",
  summary: "Reads a word of each page, in pages of 4 KiB and of 2 MiB; gives the TLB's hit rates.",
  phases: ["4k", "2m"],
  operation: "one pass: a word of each page is read",
  options: {
    pages: { type: "integer", default: 4096, min: 1, max: 262_144, help: "pages that are read" },
  },
};

/** Where the region is, in the vmalloc range: the same on all CPUs. */
export function setup(kernel: Kernel, { pages }: ProgramOptions): number {
  const most = Math.floor(restingFreePages(kernel) * 0.8);
  if ((pages as number) > most)
    throw new UsageError(
      `tlb_reach: option pages: ${pages} is not valid with this memory; valid are 1 to ${most}`,
    );
  const start = kernel.vmap.vmalloc((pages as number) * PAGE_BYTES);
  if (start === 0) bug(`no memory for ${pages} pages`);
  for (let i = 0; i < (pages as number); i++) kernel.virtual.write(start + i * PAGE_BYTES, i);
  return start;
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const pages = options.pages as number;
  const small = Array.from({ length: pages }, (_, i) => (shared as number) + i * PAGE_BYTES);
  const { virtual } = kernel;
  const large = small.map((address) => virtualOfPfn(pfnOf(virtual.wordAt(address, 0))));
  return { metrics: { ...pass(kernel, "4k", small), ...pass(kernel, "2m", large) } };
}

export function check(kernel: Kernel, _options: ProgramOptions, _values: unknown, shared: unknown): void {
  kernel.vmap.vfree(shared as number);
}

function pass(kernel: Kernel, name: string, addresses: readonly number[]): Record<string, Metric> {
  const { cpu, virtual } = kernel;
  cpu.tlb.flushAll();
  const before = cpu.tlb.counts;
  kernel.phase(name, () => {
    let done = 0;
    while (kernel.more(done)) {
      for (let i = 0; i < addresses.length; i++)
        if (virtual.read(addresses[i]) !== i) bug(`page ${i} holds ${virtual.read(addresses[i])}`);
      done++;
      cpu.endOperation();
    }
    return done;
  });
  const { walks, hits, largeHits, sharedHits } = cpu.tlb.counts;
  const missed = walks - before.walks;
  const found = hits + largeHits + sharedHits - before.hits - before.largeHits - before.sharedHits;
  const reads = Math.max(1, found + missed);
  return {
    [`hit rate, ${name}`]: { value: (100 * found) / reads, unit: "%" },
    [`walks a thousand reads, ${name}`]: { value: (1000 * missed) / reads, unit: "" },
  };
}
