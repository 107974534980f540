/**
 * Two CPUs make the first mappings of a part of the range that has no tables: each finds none and brings one, and only one
 * may be installed.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, type Pfn } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkVmap } from "../mm/vmap/check-vmap.ts";
import { VMAP_RAM } from "../mm/vmap/vmap-area.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "vmap-populate",
  summary: "CPUs map pages where no page table is yet; each finds its own page there afterwards",
  cpus: 2,
  memory: "2MiB",
  mutants: ["vmap-populate-no-recheck"],
};

interface Shared {
  readonly address: number;
  readonly frames: readonly Pfn[];
}

/** An area with a page for each CPU, none of them mapped. */
export function setup({ vmap, pages, cpus }: Kernel): Shared {
  const area = vmap.start() ? vmap.areas.alloc(cpus * PAGE_BYTES, PAGE_BYTES, Gfp.KERNEL, VMAP_RAM, 0) : 0;
  const frames = Array.from({ length: cpus }, () => pages.allocPage(Gfp.KERNEL));
  if (area === 0 || frames.includes(0)) bug(`no memory for an area of ${cpus} pages`);
  return { address: vmap.areas.startOf(area), frames };
}

export function run({ cpu, vmap, virtual }: Kernel, _options: object, { address, frames }: Shared): void {
  const own = address + cpu.id * PAGE_BYTES;
  if (vmap.tables.map(own, 1, () => frames[cpu.id]) !== 0) return;
  virtual.write(own, cpu.id + 1);
  const found = virtual.read(own);
  if (found !== cpu.id + 1) bug(`cpu ${cpu.id} finds ${found} where it has written`);
}

export function check(
  { vmap }: Kernel,
  _options: object,
  _values: unknown,
  { address, frames }: Shared,
): void {
  checkVmap(vmap);
  const mapped = frames.filter((_, i) => vmap.tables.leafEntry(address + i * PAGE_BYTES) !== 0);
  if (mapped.length !== frames.length) bug(`${mapped.length} of ${frames.length} pages have a table`);
}
