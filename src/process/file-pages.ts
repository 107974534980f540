/**
 * Pages of files in page tables: how often they are mapped.
 *
 * Linux: mm/rmap.c folio_add_file_rmap_pte, folio_remove_rmap_pte; include/linux/rmap.h folio_dup_file_rmap_pte.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import type { Pfn } from "../memory/units.ts";
import { NodeStat, ZoneStat } from "../mm/pages/counters.ts";
import { Page } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import { FilePage } from "../mm/pages/page-overlays.ts";
import type { Files } from "./files.ts";

const page = Page;

export class FilePages {
  declare private readonly memory: Memory;
  declare private readonly pages: PageAllocator;
  declare private readonly files: Files;

  constructor(memory: Memory, pages: PageAllocator, files: Files) {
    this.files = files;
    this.memory = memory;
    this.pages = pages;
  }

  /** One more mapping, which takes over a reference of the caller's. */
  map(pfn: Pfn): void {
    if (this.memory.add(this.pages.frames.pageOf(pfn) + page.mapcount, 1) === -1) this.count(pfn, 1);
  }

  /** One more mapping, in a child, with a reference of its own.  Linux: folio_dup_file_rmap_pte. */
  share(pfn: Pfn): void {
    this.pages.getPage(pfn);
    this.map(pfn);
  }

  /** One mapping less; its reference is the caller's to drop, after the flush. */
  unmap(pfn: Pfn): void {
    const before = this.memory.add(this.pages.frames.pageOf(pfn) + page.mapcount, -1);
    if (before < 0) bug(`frame ${pfn} of a file is unmapped more often than mapped`);
    if (before === 0) this.count(pfn, -1);
  }

  isMapped(pfn: Pfn): boolean {
    return this.memory.load(this.pages.frames.pageOf(pfn) + page.mapcount) >= 0;
  }

  isDirty(pfn: Pfn): boolean {
    return (this.memory.load(this.pages.frames.pageOf(pfn) + page.flags) & PageFlag.DIRTY) !== 0;
  }

  /**
   * The page is locked, or mapped by an entry whose table is: so it stays in its file.
   * Linux: folio_mark_dirty, noop_dirty_folio, filemap_dirty_folio.
   */
  markDirty(pfn: Pfn): void {
    const at = this.pages.frames.pageOf(pfn) + page.flags;
    if ((this.memory.load(at) & PageFlag.DIRTY) !== 0) return;
    if ((this.memory.or(at, PageFlag.DIRTY) & PageFlag.DIRTY) === 0) this.countDirty(pfn, 1);
  }

  /** Whether it was dirty.  Linux: folio_test_clear_dirty, folio_cancel_dirty.  @holds page lock */
  clearDirty(pfn: Pfn): boolean {
    const at = this.pages.frames.pageOf(pfn) + page.flags;
    if ((this.memory.and(at, ~PageFlag.DIRTY) & PageFlag.DIRTY) === 0) return false;
    this.countDirty(pfn, -1);
    return true;
  }

  /** Linux: folio_account_dirtied, folio_account_cleaned. */
  private countDirty(pfn: Pfn, change: number): void {
    const { vmstat, frames } = this.pages;
    const at = frames.pageOf(pfn);
    const inode = this.memory.load(at + FilePage.mapping);
    if (inode === 0 || this.files.typeOf(inode).writePage === undefined) return;
    const node = frames.nodeAt(frames.nodeOf(at));
    vmstat.modNode(node, NodeStat.nr_dirty, change);
    vmstat.modZone(frames.zoneOf(at), ZoneStat.nr_zone_write_pending, change);
    if (change > 0) vmstat.modNode(node, NodeStat.nr_dirtied, change);
  }

  private count(pfn: Pfn, change: number): void {
    const { vmstat, frames } = this.pages;
    vmstat.modNode(frames.nodeAt(frames.nodeOf(frames.pageOf(pfn))), NodeStat.nr_mapped, change);
  }
}
