/**
 * What changes of VMAs do to pages and page tables: the calls below know VMAs only, and tell what they have changed through
 * these.
 */

import type { RangeUnmapper } from "./munmap.ts";
import type { MmRef, VmaRef } from "./vm-area.ts";

export interface PageOps extends RangeUnmapper {
  /** Entries of [start, end) follow the VMA's new flags; returns after the flush.  Linux: change_protection. */
  protect(at: MmRef, area: VmaRef, start: number, end: number): void;
  /** Pages of [start, end) go, the VMA stays.  Linux: zap_page_range_single. */
  zap(at: MmRef, area: VmaRef, start: number, end: number): void;
  /** Clean copies of anonymous pages may be dropped when memory is short.  Linux: madvise_free_single_vma. */
  freeLazily(at: MmRef, area: VmaRef, start: number, end: number): void;
  /** Pages of [start, end) that are there are not needed soon.  Linux: madvise_cold, madvise_pageout. */
  age(at: MmRef, area: VmaRef, start: number, end: number): void;
  /** A hole in the file under [start, end).  Linux: madvise_remove.  0 or a negated errno. */
  punch(at: MmRef, area: VmaRef, start: number, end: number): number;
  /**
   * Faults the pages of [start, end) in, as a read or a write would: pages done, or a negated errno if the first failed.
   * mmap_lock is held for reading.  Linux: faultin_page_range, populate_vma_page_range.
   */
  populate(at: MmRef, area: VmaRef, range: { start: number; end: number; isWrite: boolean }): number;
  /** Pages of [start, end) that are there are locked, or not.  The VMA's flags say the same.  @holds mmap_lock */
  mlock(at: MmRef, start: number, end: number, isLocked: boolean): void;
  /** One byte for each page: whether it is in memory.  Linux: mincore. */
  residency(at: MmRef, area: VmaRef, start: number, end: number): number[];
}
