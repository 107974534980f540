/**
 * CPUs map neighbouring pages whose tables do not exist yet, while one of them takes an empty page table away.  Every page must be
 * there in the end.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { MmContext, type MmRef } from "../mm/pgtable/mm-context.ts";
import { look, mapPage, newSpace } from "../mm/shootdown/bare-space.ts";
import { checkTables } from "../mm/shootdown/check-tables.ts";
import type { ScenarioDescription } from "./description.ts";

const ADDRESS = 0x40_0000;

export const describe: ScenarioDescription = {
  name: "pgtable-populate",
  summary: "CPUs make page tables for neighbouring pages, and one frees an empty table meanwhile",
  cpus: 2,
  memory: "2MiB",
  mutants: ["pgtable-populate-no-recheck", "pgtable-lock-no-reread"],
};

export function setup(kernel: Kernel): MmRef {
  return newSpace(kernel);
}

export function attach(kernel: Kernel, _options: object, mm: MmRef): void {
  kernel.regions.add("mm_context", mm, MmContext);
}

const own = (cpu: number): number => ADDRESS + cpu * PAGE_BYTES;

export function run(kernel: Kernel, _options: object, mm: MmRef): void {
  const { cpu, paging } = kernel;
  const { tables, ranges, tlb } = paging;
  tlb.switchMm(mm);
  const pmd = cpu.id === 0 ? tables.pmdOffset(mm, ADDRESS) : 0;
  if (pmd !== 0) {
    const gather = paging.gather(mm);
    ranges.freeEmpty(gather, pmd, ADDRESS);
    gather.finish();
  }
  mapPage(kernel, mm, own(cpu.id), cpu.id + 1);
  const value = look(kernel, own(cpu.id));
  if (value !== cpu.id + 1) bug(`cpu ${cpu.id} reads ${value} from its page`);
}

export function check(kernel: Kernel, _options: object, _values: unknown, mm: MmRef): void {
  const { paging, pages, cpus } = kernel;
  checkTables(paging.tables, pages.frames.nodeCount);
  paging.tlb.switchMm(mm);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const value = look(kernel, own(cpu));
    if (value !== cpu + 1) bug(`the page of cpu ${cpu} has ${value}`);
  }
}
