/**
 * The page allocator: every CPU takes single pages from its lists and blocks from the zone, stamps them as its own, and
 * gives them back.  Nothing may be given twice, nothing lost, and all lists must be whole.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { frameOf, type Pfn } from "../memory/units.ts";
import { checkPages } from "../mm/pages/check-pages.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "page-allocator",
  summary: "CPUs take and give back pages and blocks; nothing is given twice or lost",
  cpus: 3,
  minCpus: 2,
  memory: "2MiB",
  mutants: ["buddy-free-unlocked"],
};

/** Orders above 3 go past the page lists. */
const ORDERS = [4, 0, 5] as const;

export function setup({ pages }: Kernel): number {
  return checkPages(pages.frames, pages.vmstat);
}

export function run(kernel: Kernel): void {
  const { pages, memory, cpu } = kernel;
  const held: Pfn[] = [];
  for (const order of ORDERS) {
    const pfn = pages.allocPages(Gfp.KERNEL, order);
    held.push(pfn);
    if (pfn === 0) continue;
    const at = frameOf(pfn);
    const owner = memory.read(at);
    if (owner !== 0) bug(`cpu ${cpu.id} was given frame ${pfn}, which cpu ${owner - 1} has`);
    memory.write(at, cpu.id + 1);
  }
  ORDERS.forEach((order, i) => {
    const pfn = held[i];
    if (pfn === 0) return;
    const owner = memory.read(frameOf(pfn));
    if (owner !== cpu.id + 1) bug(`cpu ${cpu.id} has frame ${pfn}, but cpu ${owner - 1} wrote into it`);
    memory.write(frameOf(pfn), 0);
    pages.freePages(pfn, order);
  });
}

export function check({ pages }: Kernel, _options: object, _values: unknown, freeBefore: number): void {
  const free = checkPages(pages.frames, pages.vmstat);
  if (free !== freeBefore) bug(`${free} pages are free, ${freeBefore} were before`);
}
