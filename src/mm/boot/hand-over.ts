/**
 * The hand-over: everything that memblock has not reserved goes to the buddy allocator, in blocks as large as their
 * alignment allows.
 *
 * Linux: mm/memblock.c memblock_free_all, __free_memory_core, __free_pages_memory; mm/page_alloc.c __free_pages_core.
 */

import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pfn } from "../../memory/units.ts";
import { MAX_ORDER } from "../pages/migrate-types.ts";
import { Page, pageRef } from "../pages/page.ts";
import { ZONE_SHIFT } from "../pages/page-flags.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import { ZONE_WORDS, Zone } from "../pages/zone.ts";
import type { Memblock } from "./memblock.ts";
import type { MmImage } from "./mm-image.ts";

/** Gives a block of 2^order frames to the buddy allocator, last in its list, and counts it as managed by its zone. */
export type ReleaseBlock = (pfn: Pfn, order: number) => void;

/** Hands all free memory over; returns the pages. */
export function handOver(memory: Memory, mm: MmImage, memblock: Memblock, release: ReleaseBlock): number {
  const memMap = memory.read(mm.globals.address + PageGlobals.memMap);
  let pages = 0;
  for (const range of memblock.freeRanges()) {
    const end = Math.floor(range.end / PAGE_BYTES);
    for (let pfn = Math.ceil(range.start / PAGE_BYTES); pfn < end; ) {
      const zoneNumber = memory.read(pageRef(memMap, pfn) + Page.flags) >>> ZONE_SHIFT;
      const zone = mm.zones.address + zoneNumber * ZONE_WORDS;
      const zoneEnd = memory.read(zone + Zone.startPfn) + memory.read(zone + Zone.spannedPages);
      const order = blockOrder(pfn, Math.min(end, zoneEnd));
      release(pfn, order);
      pages += 1 << order;
      pfn += 1 << order;
    }
  }
  memory.write(mm.globals.address + PageGlobals.totalRamPages, pages);
  return pages;
}

/**
 * The largest order that `pfn` is aligned to and that ends by `end`.  A zone's border, too, ends a block: limits need
 * not be multiples of the largest block here.
 */
function blockOrder(pfn: Pfn, end: Pfn): number {
  let order = pfn === 0 ? MAX_ORDER : Math.min(MAX_ORDER, 31 - Math.clz32(pfn & -pfn));
  while (pfn + (1 << order) > end) order--;
  return order;
}
