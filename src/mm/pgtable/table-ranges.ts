/**
 * Page tables by ranges of addresses: looking at all that there are, and freeing those that nothing needs any more.
 *
 * Linux: mm/pagewalk.c walk_pgd_range; mm/memory.c free_pgd_range and below, free_pgtables.
 */

import { ENTRY_WORDS, entryPfn, PteBit } from "../../hardware/page-table-entry.ts";
import { entryOffset, pageHigh, pageLow } from "../../hardware/page-walk.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn, type Pointer, pfnOf } from "../../memory/units.ts";
import { entrySpan, PMD_BYTES, spanEnd } from "./address-range.ts";
import { MmContext, type MmRef } from "./mm-context.ts";
import type { PageTables } from "./page-tables.ts";

const { PRESENT, PSE } = PteBit;
const mmField = MmContext;

/** The ceiling of what nothing is mapped above.  Linux: USER_PGTABLES_CEILING. */
export const NO_CEILING = Infinity;

/** Called for each present entry of level 2 in a range, with the part of the range that it covers. */
export type PmdVisitor = (pmd: Pointer, start: number, end: number) => void;

/** Called for each entry of a page table that is not empty; `pte.high` has its high word. */
export type PteVisitor = (low: number, address: number) => void;

/** Takes tables that have been cut off: mm/shootdown's gather. */
export interface TableTaker {
  readonly mm: MmRef;
  /** A table of `level` that was cut off below `address`.  Linux: pte_free_tlb, pmd_free_tlb, pud_free_tlb. */
  takeTable(pfn: Pfn, level: number, address: number): void;
}

export class TableRanges {
  declare readonly tables: PageTables;

  constructor(tables: PageTables) {
    this.tables = tables;
  }

  /** Calls `visit` for each page table, or page of 2 MiB, from `start` to `end`.  Takes no lock. */
  eachPmd(mm: MmRef, start: number, end: number, visit: PmdVisitor): void {
    const { tables } = this;
    const root = frameOf(tables.memory.read(mm + mmField.pgd));
    this.eachBelow(root, tables.levels, start, end, visit);
  }

  /** Calls `visit` for each page's entry, with its table's lock held: it must not wait.  Linux: walk_page_range. */
  eachPte(mm: MmRef, start: number, end: number, visit: PteVisitor): void {
    const { tables } = this;
    const { pte } = tables;
    this.eachPmd(mm, start, end, (pmd, first, last) => {
      const table = tables.pteOffsetMapLock(pmd, first);
      if (table === 0) return;
      for (let at = table, address = first; address < last; at += ENTRY_WORDS, address += PAGE_BYTES) {
        const low = pte.get(at);
        if (low !== 0 || pte.high !== 0) visit(low, address);
      }
      tables.pteUnlock(table);
    });
  }

  /**
   * Cuts off the tables that served only addresses from `start` to `end`, when nothing is mapped from `floor` to
   * `ceiling` but what is there: of tables that reach beyond these, others have need.  They go to `taker`.
   * Linux: free_pgd_range.
   * @holds mmap_lock for writing
   */
  freeTables(taker: TableTaker, start: number, end: number, floor: number, ceiling: number): void {
    const { memory, levels } = this.tables;
    let first = Math.floor(start / PMD_BYTES) * PMD_BYTES;
    if (first < floor) first += PMD_BYTES;
    const top = Math.floor(ceiling / PMD_BYTES) * PMD_BYTES;
    const last = end > top ? end - PMD_BYTES : end;
    if (first >= last) return;
    const root = frameOf(memory.read(taker.mm + mmField.pgd));
    this.freeBelow(taker, root, levels, first, last, floor, ceiling);
  }

  /**
   * Cuts off the page table below an entry of level 2 when it maps nothing; whether it did.  Others may be about to map
   * there: they find out when they have its lock.  Linux: mm/pt_reclaim.c try_to_free_pte.
   */
  freeEmpty(taker: TableTaker, pmd: Pointer, address: number): boolean {
    const { tables } = this;
    const { memory } = tables;
    tables.pmdLock(pmd);
    const at = tables.pteOffsetMapLock(pmd, address);
    let isEmpty = at !== 0;
    let cut: Pfn = 0;
    if (at !== 0) {
      const table = frameOf(pfnOf(at));
      for (let entry = table; entry < table + FRAME_WORDS && isEmpty; entry += ENTRY_WORDS)
        isEmpty = memory.load(entry) === 0 && memory.read(entry + 1) === 0;
      if (isEmpty) cut = tables.detachTable(taker.mm, pmd);
      tables.pteUnlock(at);
    }
    tables.pmdUnlock(pmd);
    if (cut !== 0) taker.takeTable(cut, 1, address);
    return isEmpty;
  }

  private eachBelow(table: Pointer, level: number, start: number, end: number, visit: PmdVisitor): void {
    const { memory } = this.tables;
    const span = entrySpan(level);
    let at = table + entryOffset(pageLow(start), pageHigh(start), level);
    for (let address = start; address < end; at += ENTRY_WORDS) {
      const next = spanEnd(address, end, span);
      const word = memory.load(at);
      if ((word & PRESENT) !== 0) {
        if (level === 2) visit(at, address, next);
        else if ((word & PSE) === 0)
          this.eachBelow(frameOf(entryPfn(word, memory.read(at + 1))), level - 1, address, next, visit);
      }
      address = next;
    }
  }

  private freeBelow(
    taker: TableTaker,
    table: Pointer,
    level: number,
    start: number,
    end: number,
    floor: number,
    ceiling: number,
  ): void {
    const { tables } = this;
    const { memory } = tables;
    const span = entrySpan(level);
    let at = table + entryOffset(pageLow(start), pageHigh(start), level);
    for (let address = start; address < end; at += ENTRY_WORDS) {
      const next = spanEnd(address, end, span);
      const word = memory.load(at);
      if ((word & PRESENT) !== 0 && (word & PSE) === 0) {
        if (level > 2) {
          const below = frameOf(entryPfn(word, memory.read(at + 1)));
          this.freeBelow(taker, below, level - 1, address, next, floor, ceiling);
        }
        // The table below serves `span` bytes; somebody else's pages may be among them.
        const first = Math.floor(address / span) * span;
        const isWhole = first >= floor && next <= Math.floor(ceiling / span) * span;
        if (level === 2 || isWhole) taker.takeTable(tables.detachTable(taker.mm, at), level - 1, address);
      }
      address = next;
    }
  }
}
