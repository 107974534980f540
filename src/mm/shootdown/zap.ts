/**
 * The two ends of a page's life in an address space: mapped into an empty entry, and taken out with all others of a range.
 *
 * Linux: mm/memory.c insert_page_into_pte_locked (vm_insert_page), zap_pte_range, unmap_page_range.
 * Differs: knows nothing of reverse mappings, swap and counters of resident pages.
 */

import { ENTRY_WORDS, entryHigh, entryLow, PteBit } from "../../hardware/page-table-entry.ts";
import { Errno } from "../../memory/errno.ts";
import { PAGE_BYTES, type Pfn } from "../../memory/units.ts";
import type { MmRef } from "../pgtable/mm-context.ts";
import type { PageTables } from "../pgtable/page-tables.ts";
import type { TableRanges } from "../pgtable/table-ranges.ts";
import type { MmuGather } from "./mmu-gather.ts";

const { PRESENT } = PteBit;

/**
 * Maps frame `pfn`, whose reference becomes the entry's, with the low bits `bits`; 0, -ENOMEM, or -EBUSY where something is
 * mapped.
 */
export function insertPage(
  tables: PageTables,
  mm: MmRef,
  address: number,
  pfn: Pfn,
  bits: number,
  nx = 0,
): number {
  const at = tables.pteAllocMapLock(mm, address);
  if (at === 0) return -Errno.ENOMEM;
  const isEmpty = tables.pte.get(at) === 0;
  if (isEmpty) tables.pte.set(at, entryLow(pfn, bits), entryHigh(pfn, nx));
  tables.pteUnlock(at);
  return isEmpty ? 0 : -Errno.EBUSY;
}

/** Clears every present entry from `start` to `end`; the pages go to `gather`. */
export function zapRange(ranges: TableRanges, gather: MmuGather, start: number, end: number): void {
  const { tables } = ranges;
  ranges.eachPmd(gather.mm, start, end, (pmd, first, last) => {
    for (let address = first; address < last; ) {
      const at = tables.pteOffsetMapLock(pmd, address);
      if (at === 0) return;
      let isFull = false;
      for (let entry = at; address < last && !isFull; entry += ENTRY_WORDS, address += PAGE_BYTES) {
        if ((tables.pte.get(entry) & PRESENT) === 0) continue;
        const pfn = tables.pte.pfnOf(tables.pte.take(entry));
        gather.noteCleared(address);
        isFull = gather.removePage(pfn);
      }
      tables.pteUnlock(at);
      if (isFull) gather.flush();
    }
  });
}
