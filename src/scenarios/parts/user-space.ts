/** A small address space for scenarios: a context in a frame of its own, and what CPUs do in it. */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { frameOf, PAGE_BYTES } from "../../memory/units.ts";
import { Gfp } from "../../mm/pages/gfp.ts";
import { MmContext, type MmRef } from "../../mm/pgtable/mm-context.ts";
import { PageProt } from "../../mm/pgtable/pte.ts";
import { UserFault } from "../../mm/shootdown/user-access.ts";
import { insertPage, zapRange } from "../../mm/shootdown/zap.ts";

/** Where the pages are: the start of a page table. */
export const ADDRESS = 0x40_0000;
/** What `look` returns where nothing is mapped. */
export const NOTHING = -1;

export function newSpace({ pages, paging }: Kernel): MmRef {
  const pfn = pages.allocPage(Gfp.KERNEL);
  const mm = frameOf(pfn);
  if (pfn === 0 || !paging.tables.initContext(mm)) bug("no memory for an address space");
  return mm;
}

/** Names its words, for reports. */
export function nameSpace({ regions }: Kernel, mm: MmRef): void {
  regions.add("mm_context", mm, MmContext);
}

/** Maps a new page whose first word is `value`. */
export function mapPage({ pages, paging, memory }: Kernel, mm: MmRef, address: number, value: number): void {
  const pfn = pages.allocPage(Gfp.KERNEL);
  if (pfn === 0) bug("no memory for a page");
  memory.write(frameOf(pfn), value);
  const result = insertPage(paging.tables, mm, address, pfn, PageProt.WRITE);
  if (result !== 0) bug(`the page at 0x${address.toString(16)} cannot be mapped: ${result}`);
}

/** Unmaps a page; returns after all CPUs have forgotten it. */
export function unmapPage({ paging }: Kernel, mm: MmRef, address: number): void {
  const gather = paging.gather(mm);
  zapRange(paging.ranges, gather, address, address + PAGE_BYTES);
  gather.finish();
}

/** The word at an address as a program sees it, or NOTHING. */
export function look({ paging }: Kernel, address: number): number {
  try {
    return paging.user.read(address);
  } catch (error) {
    if (error instanceof UserFault) return NOTHING;
    throw error;
  }
}
