/** One CPU drains the page lists of another that is using them: the lists' lock must keep them apart. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { checkPages } from "../mm/pages/check-pages.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "remote-drain",
  summary: "a CPU drains the page lists that another one takes from and gives to",
  cpus: 2,
  memory: "2MiB",
  mutants: ["pcp-drain-unlocked", "pcp-own-unlocked"],
};

const PAGES = 2;
const ROUNDS = 4;
/** Most find the lists empty; the rest come at every moment of the other CPU's work. */
const DRAINS = 24;

/** Leaves a few pages on the lists of CPU 0. */
export function setup({ pages }: Kernel): number {
  const free = checkPages(pages.frames, pages.vmstat);
  const pfn = pages.allocPage(Gfp.KERNEL);
  if (pfn === 0) bug("no memory for one page");
  pages.freePage(pfn);
  return free;
}

export function run({ pages, cpu }: Kernel): void {
  if (cpu.id > 0) for (let i = 0; i < DRAINS; i++) pages.drain.cpu(0);
  else for (let i = 0; i < ROUNDS; i++) takeAndGive(pages);
}

function takeAndGive(pages: Kernel["pages"]): void {
  const held = Array.from({ length: PAGES }, () => pages.allocPage(Gfp.KERNEL));
  for (const pfn of held) if (pfn !== 0) pages.freePage(pfn);
}

export function check({ pages }: Kernel, _options: object, _values: unknown, freeBefore: number): void {
  const free = checkPages(pages.frames, pages.vmstat);
  if (free !== freeBefore) bug(`${free} pages are free, ${freeBefore} were before`);
}
