/**
 * One CPU unmaps a page that another one reads.  As long as the reader may remember the page, nobody else may have it.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { frameOf, PAGE_BYTES } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { MmContext, type MmRef } from "../mm/pgtable/mm-context.ts";
import { look, mapPage, NOTHING, newSpace, unmapPages } from "../mm/shootdown/bare-space.ts";
import type { ScenarioDescription } from "./description.ts";

const ADDRESS = 0x40_0000;

export const describe: ScenarioDescription = {
  name: "shootdown-unmap",
  summary: "a CPU unmaps and reuses a page that another reads; it sees the old value or faults",
  cpus: 2,
  memory: "2MiB",
  mutants: ["shootdown-free-before-flush"],
};

const OLD = 7;
const NEW = 9;
const READS = 3;

export function setup(kernel: Kernel): MmRef {
  const mm = newSpace(kernel);
  mapPage(kernel, mm, ADDRESS, OLD);
  return mm;
}

export function attach(kernel: Kernel, _options: object, mm: MmRef): void {
  kernel.regions.add("mm_context", mm, MmContext);
}

export function run(kernel: Kernel, _options: object, mm: MmRef): void {
  const { cpu, paging, pages, memory } = kernel;
  paging.tlb.switchMm(mm);
  if (cpu.id === 0) {
    unmapPages(kernel, mm, ADDRESS, ADDRESS + PAGE_BYTES);
    const pfn = pages.allocPage(Gfp.KERNEL);
    if (pfn !== 0) memory.write(frameOf(pfn), NEW);
    return;
  }
  for (let i = 0; i < READS; i++) {
    const value = look(kernel, ADDRESS);
    if (value !== OLD && value !== NOTHING)
      bug(`cpu ${cpu.id} reads ${value} from a page that is not its own`);
  }
}
