/**
 * A CPU that runs no program keeps an address space loaded, and its hardware walks through the tables on its own accord.
 * Another one unmaps everything and frees the page tables: it must tell the first.
 */

import type { Kernel } from "../machine/kernel.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { MmContext, type MmRef } from "../mm/pgtable/mm-context.ts";
import { look, mapPage, newSpace } from "../mm/shootdown/bare-space.ts";
import { zapRange } from "../mm/shootdown/zap.ts";
import type { ScenarioDescription } from "./description.ts";

const ADDRESS = 0x40_0000;

export const describe: ScenarioDescription = {
  name: "lazy-table-free",
  summary: "page tables are freed that a CPU without a program has loaded and may walk",
  cpus: 2,
  memory: "2MiB",
  mutants: ["shootdown-skips-lazy"],
};

const LOOKS = 6;

interface Shared {
  readonly mm: MmRef;
  /** 1 once CPU 1 is lazy. */
  readonly lazy: Pointer;
}

export function setup(kernel: Kernel): Shared {
  const mm = newSpace(kernel);
  mapPage(kernel, mm, ADDRESS, 1);
  return { mm, lazy: kernel.pages.getZeroedPage(0) };
}

export function attach(kernel: Kernel, _options: object, { mm }: Shared): void {
  kernel.regions.add("mm_context", mm, MmContext);
}

export function run(kernel: Kernel, _options: object, { mm, lazy }: Shared): void {
  const { cpu, paging, memory, rcu } = kernel;
  const { tlb, ranges, user } = paging;
  if (cpu.id === 0) {
    memory.waitWhile(lazy, -1, 0);
    const gather = paging.gather(mm);
    zapRange(ranges, gather, ADDRESS, ADDRESS + PAGE_BYTES);
    ranges.freeTables(gather, ADDRESS, ADDRESS + PAGE_BYTES, 0, Infinity);
    gather.finish();
    rcu.barrier();
    return;
  }
  tlb.switchMm(mm);
  look(kernel, ADDRESS);
  tlb.enterLazy();
  memory.store(lazy, 1);
  memory.wake(lazy);
  for (let i = 0; i < LOOKS; i++) {
    user.speculate(ADDRESS);
    cpu.endOperation();
  }
}
