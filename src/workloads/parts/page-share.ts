/**
 * What the page workloads have in common: how much of the memory each CPU takes, and that all of it comes back.
 */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import { bug } from "../../memory/bug.ts";
import { ZoneStat } from "../../mm/pages/counters.ts";
import { Gfp } from "../../mm/pages/gfp.ts";
import { MAX_ORDER } from "../../mm/pages/migrate-types.ts";
import type { MetricsValue, OptionDescription } from "../description.ts";

export const BLOCK_OPTIONS = {
  order: { type: "integer", default: 0, min: 0, max: MAX_ORDER, help: "size of a block: 2^order pages" },
  fraction: {
    type: "number",
    default: 0.5,
    min: 0.001,
    max: 1.2,
    help: "part of the free memory that all CPUs take together; near 1, allocations fail",
  },
} as const satisfies Record<string, OptionDescription>;

/** Of workloads whose last phase frees all that the CPU holds. */
export const DRAIN_OPTION = {
  drain: {
    type: "boolean",
    default: true,
    help: "the free phase ends with this CPU's page lists given back: a short run then costs a page what a long one does",
  },
} as const satisfies Record<string, OptionDescription>;

const NR_FREE_PAGES = ZoneStat.nr_free_pages;

/** The same for all CPUs. */
export interface PageShare {
  /** Blocks of each CPU. */
  readonly blocks: number;
  /** Free pages before the run, the page lists drained. */
  readonly freePages: number;
}

/** What the workloads allocate with. */
export const GFP = Gfp.KERNEL;

export function planShare(kernel: Kernel, options: ProgramOptions): PageShare {
  const freePages = restingFreePages(kernel);
  const wanted = (freePages * (options.fraction as number)) / kernel.cpus / 2 ** (options.order as number);
  return { blocks: Math.max(1, Math.floor(wanted)), freePages };
}

/** Free pages with nothing on any CPU's list. */
export function restingFreePages(kernel: Kernel): number {
  const { drain, frames, vmstat } = kernel.pages;
  drain.all();
  return frames
    .populatedZones()
    .reduce((sum, zone) => sum + vmstat.zoneStateSnapshot(zone, NR_FREE_PAGES), 0);
}

/** Nothing is lost and nothing came back twice: as many pages are free as before. */
export function checkAllBack(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { freePages } = shared as PageShare;
  const found = restingFreePages(kernel);
  if (found !== freePages) bug(`${found} pages are free after the run, ${freePages} were before it`);
}

/** How many allocations failed, for the reports. */
export function failureMetric(failed: number): MetricsValue {
  return { metrics: { "failed allocations": { value: failed, unit: "blocks" } } };
}
