/**
 * vmalloc by the cases of the kernel's own test: areas of fixed and random size and alignment, full fits, a long list of
 * busy areas, per-CPU memory, frees after a grace period, and vm_map_ram.
 *
 * Linux: lib/test_vmalloc.c.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import { checkVmap } from "../mm/vmap/check-vmap.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import { failureMetric } from "./parts/page-share.ts";
import { VmallocCases } from "./parts/vmalloc-cases.ts";

const CASES: Readonly<Record<string, (cases: VmallocCases) => number>> = {
  fix_size_alloc: (cases) => cases.fixSize(),
  full_fit_alloc: (cases) => cases.fullFit(),
  long_busy_list_alloc: (cases) => cases.longBusyList(),
  random_size_alloc: (cases) => cases.randomSize(),
  fix_align_alloc: (cases) => cases.fixAlign(),
  random_size_align_alloc: (cases) => cases.randomSizeAlign(),
  align_shift_alloc: (cases) => cases.alignShift(),
  pcpu_alloc: (cases) => cases.pcpu(),
  kvfree_rcu: (cases) => cases.kvfreeRcu(),
  vm_map_ram: (cases) => cases.mapRam(),
};
const NAMES = Object.keys(CASES);

export const describe: WorkloadDescription = {
  name: "vmalloc-mix",
  summary: "vmalloc by the cases of the kernel's own test; each case is a phase.",
  phases: NAMES,
  operation: "one call of the case: an area allocated, touched and freed (two areas in long_busy_list_alloc)",
  options: {
    case: { type: "choice", default: "all", choices: ["all", ...NAMES], help: "one case, or each in turn" },
    loops: { type: "integer", default: 20, min: 1, max: 1_000_000, help: "calls of a case in a round" },
    pages: {
      type: "integer",
      default: 1,
      min: 1,
      max: 1024,
      help: "pages of areas of fixed size and of a vm_map_ram",
    },
    kept: {
      type: "integer",
      default: 50,
      min: 0,
      max: 15_000,
      help: "areas that a CPU keeps in full_fit_alloc and long_busy_list_alloc; Linux keeps 15000",
    },
    lazy: {
      type: "integer",
      default: 0,
      min: 0,
      max: 1 << 20,
      help: "lazy pages from which on they are purged; 0: by Linux's formula, 32 MiB and more",
    },
    stamp: {
      type: "boolean",
      default: false,
      help: "every page is written and verified through its mapping; smpsim stress does it unless told not to",
    },
  },
  stressDefaults: { stamp: true, lazy: 400 },
};

interface Shared {
  /** Areas that were busy before, but for blocks of vm_map_ram: each CPU keeps some. */
  readonly busy: number;
}

export function setup({ vmap }: Kernel, options: ProgramOptions): Shared {
  if (!vmap.start()) bug("no memory for kernel page tables");
  vmap.purge.setLimit(options.lazy as number);
  const { areas, blocks } = checkVmap(vmap);
  return { busy: areas.busy - blocks };
}

export function run(kernel: Kernel, options: ProgramOptions): MetricsValue {
  const cases = new VmallocCases(kernel, {
    loops: options.loops as number,
    pages: options.pages as number,
    kept: options.kept as number,
    stamp: options.stamp as boolean,
  });
  const before = kernel.cpu.tlb.counts;
  const names = options.case === "all" ? NAMES : [options.case as string];
  let done = 0;
  do {
    for (const name of names) {
      kernel.phase(name, () => {
        const operations = CASES[name](cases);
        done += operations;
        return operations;
      });
    }
  } while (kernel.anotherRound(done));
  const { walks, flushesAll, flushesPage } = kernel.cpu.tlb.counts;
  return {
    metrics: {
      ...failureMetric(cases.failed).metrics,
      "TLB misses": { value: walks - before.walks, unit: "walks" },
      "TLB flushes": { value: flushesAll - before.flushesAll, unit: "whole" },
      "pages flushed alone": { value: flushesPage - before.flushesPage, unit: "pages" },
    },
  };
}

/** No area is busy that was not before; with `stamp` all are purged, and none is lazy. */
export function check(
  { vmap, rcu }: Kernel,
  options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const purges = options.stamp as boolean;
  vmap.purge.setLimit(0);
  if (purges) vmap.purge.reclaim();
  rcu.barrier();
  const { areas, blocks } = checkVmap(vmap);
  const { busy } = shared as Shared;
  if (areas.busy - blocks !== busy || (purges && areas.lazy > 0))
    bug(
      `${areas.busy - blocks} areas are busy and ${areas.lazy} lazy after the run, ${busy} were busy before it`,
    );
}
