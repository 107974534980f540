/**
 * Collects what an unmapping takes away, and frees it only after the TLBs have forgotten it.
 *
 * Pages are collected in batches: 8 in the gather itself, then pages of 510, at most 19 of these; when there is no more room
 * everything is flushed and freed in between.  Page tables wait for a grace period besides (table-free).
 *
 * `tlb_flush_pending` of the address space counts the gathers under way: who finds it above 1 at the end has had
 * company, whose cleared entries its own flush may have missed, and flushes everything.
 *
 * A gather lives on its CPU's stack, within one operation.  Differs: batches go back at each flush, not at the end.
 *
 * Linux: mm/mmu_gather.c, include/asm-generic/tlb.h, arch/x86/include/asm/tlb.h tlb_flush.
 */

import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import { PAGE_BYTES, type Pfn, type Pointer, pfnOf } from "../../memory/units.ts";
import { Gfp } from "../pages/gfp.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { entrySpan } from "../pgtable/address-range.ts";
import { MmContext, type MmRef } from "../pgtable/mm-context.ts";
import type { TableTaker } from "../pgtable/table-ranges.ts";
import type { Shootdown } from "./shootdown.ts";
import type { TableFree } from "./table-free.ts";

const mmField = MmContext;
/** Linux: MMU_GATHER_BUNDLE. */
const INLINE_PAGES = 8;
/** Pages of a batch: as many pointers of 64 bits as fit a page behind its header.  Linux: MAX_GATHER_BATCH. */
const BATCH_PAGES = 510;
/** Linux: MAX_GATHER_BATCH_COUNT, 10000 / MAX_GATHER_BATCH. */
const MAX_BATCHES = Math.floor(10_000 / BATCH_PAGES);
/** In a page's word: its reverse mapping ends after the flush.  Linux: ENCODED_PAGE_BIT_DELAY_RMAP. */
const DELAY_RMAP = 1;
const NONE = Infinity;
/** Else every page is flushed at once. */
const batching = shape.tlbBatching;
/** Pages go back before the CPUs have answered. */
const freesFirst = mutant("shootdown-free-before-flush");

/** Gives a page back that no TLB knows any more.  Linux: free_pages_and_swap_cache. */
export type PageRelease = (pfn: Pfn) => void;

export interface GatherParts {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly shootdown: Shootdown;
  readonly tableFree: TableFree;
}

export class MmuGather implements TableTaker {
  readonly mm: MmRef;
  /** The whole address space ends: nobody else changes it.  Linux: fullmm. */
  readonly fullmm: boolean;
  private readonly parts: GatherParts;
  private readonly release: PageRelease;
  private start = NONE;
  private end = 0;
  private freedTables = false;
  private flushesAll = false;
  /** The smallest page whose entry was cleared, bytes.  Linux: cleared_ptes and its kin. */
  private strideBytes = 0;
  private readonly own: number[] = [];
  /** Batches, the last one is being filled, and how full that is. */
  private readonly batches: Pointer[] = [];
  private filled = 0;
  /** The batch of tables, or 0. */
  private tableBatch: Pointer = 0;
  private delayedRmaps = false;

  /** Linux: tlb_gather_mmu, tlb_gather_mmu_fullmm. */
  constructor(parts: GatherParts, mm: MmRef, fullmm: boolean, release: PageRelease) {
    this.parts = parts;
    this.mm = mm;
    this.fullmm = fullmm;
    this.release = release;
    parts.memory.add(mm + mmField.tlbFlushPending, 1);
  }

  /** The entry for a page of `bytes` at `address` was cleared or lost rights.  Linux: tlb_flush_pte_range. */
  noteCleared(address: number, bytes = PAGE_BYTES): void {
    this.start = Math.min(this.start, address);
    this.end = Math.max(this.end, address + bytes);
    this.strideBytes = this.strideBytes === 0 ? bytes : Math.min(this.strideBytes, bytes);
    if (!batching) this.flushTlb();
  }

  /**
   * A page to be given back after the flush; true when there is no room for another one, and the caller must flush
   * after it has dropped the table's lock.  Linux: __tlb_remove_page.
   */
  removePage(pfn: Pfn, delayRmap = false): boolean {
    const word = (pfn << 1) | (delayRmap ? DELAY_RMAP : 0);
    if (delayRmap) this.delayedRmaps = true;
    const { own, batches } = this;
    if (batches.length === 0) {
      own.push(word);
      return own.length === INLINE_PAGES && !this.addBatch();
    }
    this.parts.memory.write(batches[batches.length - 1] + this.filled++, word);
    return this.filled === BATCH_PAGES && !this.addBatch();
  }

  /** A page table to be freed after the flush and a grace period.  Linux: pte_free_tlb, tlb_remove_table. */
  takeTable(pfn: Pfn, level: number, address: number): void {
    const { tableFree } = this.parts;
    const span = entrySpan(level + 1);
    const first = Math.floor(address / span) * span;
    this.start = Math.min(this.start, first);
    this.end = Math.max(this.end, first + PAGE_BYTES);
    this.freedTables = true;
    if (this.strideBytes === 0) this.strideBytes = PAGE_BYTES;
    if (this.tableBatch === 0) {
      this.tableBatch = tableFree.newBatch();
      if (this.tableBatch === 0) {
        this.flushTlb();
        tableFree.freeOne(pfn);
        return;
      }
    }
    if (tableFree.add(this.tableBatch, pfn)) this.flush();
  }

  /** The TLBs forget what was cleared so far.  Linux: tlb_flush_mmu_tlbonly. */
  flushTlb(): void {
    if (!this.freedTables && this.strideBytes === 0) return;
    const { shootdown } = this.parts;
    const isAll = this.fullmm || this.flushesAll;
    const start = isAll ? 0 : this.start;
    shootdown.flushMmRange(
      this.mm,
      start,
      isAll ? Infinity : this.end,
      this.strideBytes || PAGE_BYTES,
      this.freedTables,
    );
    this.start = NONE;
    this.end = 0;
    this.strideBytes = 0;
    this.freedTables = false;
  }

  /** Ends reverse mappings that were to outlive the flush; under the table's lock.  Linux: tlb_flush_rmaps. */
  flushRmaps(remove: PageRelease): void {
    if (!this.delayedRmaps) return;
    this.eachPage((word, at) => {
      if ((word & DELAY_RMAP) === 0) return;
      remove(word >>> 1);
      at(word & ~DELAY_RMAP);
    });
    this.delayedRmaps = false;
  }

  /** The flush now, if reverse mappings wait for it: their table is about to be unlocked.  Linux: zap_pte_range. */
  endRmaps(remove: PageRelease): void {
    if (!this.delayedRmaps) return;
    this.flushTlb();
    this.flushRmaps(remove);
  }

  /** Flushes, then gives back what was collected.  Linux: tlb_flush_mmu.  @irqs on */
  flush(): void {
    reached("shootdown-free-before-flush");
    if (freesFirst) this.freePages();
    this.flushTlb();
    if (this.tableBatch !== 0) {
      this.parts.tableFree.free(this.tableBatch);
      this.tableBatch = 0;
    }
    this.freePages();
  }

  /** The end of the gather.  Linux: tlb_finish_mmu.  @irqs on */
  finish(): void {
    const { memory } = this.parts;
    if (memory.load(this.mm + mmField.tlbFlushPending) > 1) {
      this.flushesAll = true;
      this.freedTables = true;
    }
    this.flush();
    memory.add(this.mm + mmField.tlbFlushPending, -1);
  }

  private addBatch(): boolean {
    const { batches } = this;
    if (batches.length === MAX_BATCHES) return false;
    const batch = this.parts.pages.getFreePages(Gfp.NOWAIT, 0);
    if (batch === 0) return false;
    batches.push(batch);
    this.filled = 0;
    return true;
  }

  /** Linux: tlb_batch_pages_flush. */
  private freePages(): void {
    const { pages } = this.parts;
    const { own, batches, release } = this;
    for (const word of own) release(word >>> 1);
    own.length = 0;
    batches.forEach((batch, i) => {
      const count = i === batches.length - 1 ? this.filled : BATCH_PAGES;
      for (let at = batch; at < batch + count; at++) release(this.parts.memory.read(at) >>> 1);
    });
    for (const batch of batches) pages.freePage(pfnOf(batch));
    batches.length = 0;
    this.filled = 0;
  }

  private eachPage(visit: (word: number, put: (word: number) => void) => void): void {
    const { own, batches } = this;
    const { memory } = this.parts;
    own.forEach((word, i) => {
      visit(word, (changed) => {
        own[i] = changed;
      });
    });
    batches.forEach((batch, i) => {
      const count = i === batches.length - 1 ? this.filled : BATCH_PAGES;
      for (let at = batch; at < batch + count; at++)
        visit(memory.read(at), (changed) => memory.write(at, changed));
    });
  }
}
