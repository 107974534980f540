/**
 * A CPU leaves an address space and comes back, while another one replaces a page there.  What it remembers from before
 * must not be used once the flush is complete.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { MmContext, type MmRef } from "../mm/pgtable/mm-context.ts";
import { look, mapPage, newSpace, unmapPages } from "../mm/shootdown/bare-space.ts";
import type { ScenarioDescription } from "./description.ts";

const ADDRESS = 0x40_0000;

export const describe: ScenarioDescription = {
  name: "mm-switch",
  summary: "a CPU returns to an address space in which another has replaced a page",
  cpus: 2,
  memory: "2MiB",
  mutants: ["switch-mm-no-generation", "switch-mm-generation-first"],
};

const OLD = 7;
const NEW = 9;
const VISITS = 3;

interface Shared {
  readonly mm: MmRef;
  /** 1 once the new page is there. */
  readonly done: Pointer;
}

export function setup(kernel: Kernel): Shared {
  const mm = newSpace(kernel);
  mapPage(kernel, mm, ADDRESS, OLD);
  return { mm, done: kernel.pages.getZeroedPage(0) };
}

export function attach(kernel: Kernel, _options: object, { mm }: Shared): void {
  kernel.regions.add("mm_context", mm, MmContext);
}

export function run(kernel: Kernel, _options: object, { mm, done }: Shared): void {
  const { cpu, paging, memory } = kernel;
  const { tlb } = paging;
  if (cpu.id === 0) {
    unmapPages(kernel, mm, ADDRESS, ADDRESS + PAGE_BYTES);
    mapPage(kernel, mm, ADDRESS, NEW);
    memory.store(done, 1);
    return;
  }
  for (let i = 0; i < VISITS; i++) {
    tlb.switchMm(mm);
    const isDone = memory.load(done) !== 0;
    const value = look(kernel, ADDRESS);
    if (isDone && value !== NEW)
      bug(`cpu ${cpu.id} reads ${value} after the page was replaced by one with ${NEW}`);
    tlb.switchMm(tlb.initMm);
  }
}
