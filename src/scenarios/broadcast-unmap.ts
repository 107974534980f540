/**
 * One CPU gives an address space a number for all CPUs, unmaps two pages by broadcasts, and reuses them, while another one reads:
 * first under a number of its own, which the first unmapping ends, then under the global one.
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
  name: "broadcast-unmap",
  summary: "pages are unmapped by broadcasts and reused while another CPU reads them",
  cpus: 2,
  memory: "2MiB",
  shootdown: "broadcast",
  mutants: ["broadcast-no-sync", "asid-transition-early"],
};

const OLD = 7;
const NEW = 9;
const READS = 4;
const PAGES = 2;

export function setup(kernel: Kernel): MmRef {
  const mm = newSpace(kernel);
  for (let page = 0; page < PAGES; page++) mapPage(kernel, mm, ADDRESS + page * PAGE_BYTES, OLD);
  return mm;
}

export function attach(kernel: Kernel, _options: object, mm: MmRef): void {
  kernel.regions.add("mm_context", mm, MmContext);
}

export function run(kernel: Kernel, _options: object, mm: MmRef): void {
  const { cpu, paging, pages, memory } = kernel;
  paging.tlb.switchMm(mm);
  if (cpu.id === 0) {
    paging.asids.use(mm);
    for (let page = 0; page < PAGES; page++) {
      const address = ADDRESS + page * PAGE_BYTES;
      unmapPages(kernel, mm, address, address + PAGE_BYTES);
      const pfn = pages.allocPage(Gfp.KERNEL);
      if (pfn !== 0) memory.write(frameOf(pfn), NEW);
    }
    return;
  }
  for (let i = 0; i < READS; i++) {
    const value = look(kernel, ADDRESS + ((i + 1) % PAGES) * PAGE_BYTES);
    if (value !== OLD && value !== NOTHING)
      bug(`cpu ${cpu.id} reads ${value} from a page that is not its own`);
  }
}
