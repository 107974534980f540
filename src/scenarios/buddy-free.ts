/** Two CPUs give buddies back at the same time: the zone's lock must make one of them merge what the other freed. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pfn } from "../memory/units.ts";
import { checkPages } from "../mm/pages/check-pages.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "buddy-free",
  summary: "CPUs free buddies at once; they must merge, and no list may break",
  cpus: 2,
  memory: "2MiB",
  mutants: ["buddy-free-unlocked"],
};

/** The lowest order that no page list keeps. */
const ORDER = 4;

interface Blocks {
  readonly freeBefore: number;
  /** One a CPU. */
  readonly pfns: readonly Pfn[];
}

/** Takes one block of twice the size a CPU pair and splits it, so that neighbours are buddies. */
export function setup({ pages, cpus }: Kernel): Blocks {
  const freeBefore = checkPages(pages.frames, pages.vmstat);
  const pfns = Array.from({ length: cpus }, () => pages.allocPages(Gfp.KERNEL, ORDER));
  if (pfns.includes(0)) bug(`no memory for ${cpus} blocks of order ${ORDER}`);
  return { freeBefore, pfns };
}

export function run({ pages, cpu }: Kernel, _options: object, { pfns }: Blocks): void {
  pages.freePages(pfns[cpu.id], ORDER);
}

export function check({ pages }: Kernel, _options: object, _values: unknown, { freeBefore }: Blocks): void {
  const free = checkPages(pages.frames, pages.vmstat);
  if (free !== freeBefore) bug(`${free} pages are free, ${freeBefore} were before`);
}
