/** Blocks that are held for the length of a run, chained through their own first words. */

import type { Kernel } from "../../machine/kernel.ts";
import { frameOf, NO_PFN, type Pfn } from "../../memory/units.ts";
import { GFP } from "./page-share.ts";

/** Takes up to `blocks` blocks of `order`; the first, NO_PFN if there is none. */
export function takeChain(kernel: Kernel, blocks: number, order: number): Pfn {
  const { cpu, memory, pages } = kernel;
  let first: Pfn = NO_PFN;
  for (let i = 0; i < blocks; i++) {
    const pfn = pages.allocPages(GFP, order);
    if (pfn === NO_PFN) break;
    memory.write(frameOf(pfn), first);
    first = pfn;
    cpu.endOperation();
  }
  return first;
}

/** Frees the chain that begins with `first`. */
export function freeChain(kernel: Kernel, first: Pfn, order: number): void {
  const { cpu, memory, pages } = kernel;
  for (let pfn = first; pfn !== NO_PFN; ) {
    const next = memory.read(frameOf(pfn));
    pages.freePages(pfn, order);
    pfn = next;
    cpu.endOperation();
  }
}
