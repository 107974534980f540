/** CPUs drop the last references of one page: exactly one of them may free it. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pfn } from "../memory/units.ts";
import { checkPages } from "../mm/pages/check-pages.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "page-references",
  summary: "CPUs drop their references to one page; it is freed once, by the last",
  cpus: 2,
  memory: "2MiB",
  mutants: ["page-put-plain"],
};

interface Shared {
  readonly freeBefore: number;
  readonly pfn: Pfn;
}

export function setup({ pages, cpus }: Kernel): Shared {
  const freeBefore = checkPages(pages.frames, pages.vmstat);
  const pfn = pages.allocPage(Gfp.KERNEL);
  if (pfn === 0) bug("no memory for one page");
  for (let cpu = 1; cpu < cpus; cpu++) pages.getPage(pfn);
  return { freeBefore, pfn };
}

export function run({ pages }: Kernel, _options: object, { pfn }: Shared): void {
  pages.putPage(pfn);
}

export function check({ pages }: Kernel, _options: object, _values: unknown, shared: Shared): void {
  const free = checkPages(pages.frames, pages.vmstat);
  if (free !== shared.freeBefore) bug(`${free} pages are free, ${shared.freeBefore} were before`);
}
