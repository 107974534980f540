/**
 * Anonymous pages: which anon_vma they belong to, how often they are mapped, and whether they are one process's alone.
 *
 * Exclusive: no other process can have the page, so a write needs no copy.  A page is exclusive from its first mapping until
 * a fork shares it.  A shared one whose other users have gone is known by its reference count (`canReuse`).
 *
 * Linux: mm/rmap.c folio_add_new_anon_rmap, folio_remove_rmap_pte; include/linux/rmap.h folio_try_dup_anon_rmap_pte;
 * mm/memory.c wp_can_reuse_anon_folio.
 */

import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES, type Pfn } from "../memory/units.ts";
import { NodeStat, VmEvent } from "../mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import { Page, PageType } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import { AnonPage } from "../mm/pages/page-overlays.ts";
import type { MlockPages } from "./mlock-pages.ts";
import { VmArea, type VmaRef } from "./vm-area.ts";

const page = Page;
const anon = AnonPage;
const vma = VmArea;
/** With more there is no hope that all but one are this CPU's own. */
const MOST_REFERENCES = 3;
/** In `private`. */
const EXCLUSIVE = 1;
/** A write takes a page that others have, too. */
const reusesShared = mutant("cow-reuse-shared");

export class AnonPages {
  declare private readonly memory: Memory;
  declare private readonly pages: PageAllocator;
  declare private readonly mlocks: MlockPages;

  constructor(memory: Memory, pages: PageAllocator, mlocks: MlockPages) {
    this.mlocks = mlocks;
    this.memory = memory;
    this.pages = pages;
  }

  /** A zeroed page for a user, or 0.  Linux: vma_alloc_zeroed_movable_folio. */
  makeZeroed(): Pfn {
    return this.pages.allocPage(Gfp.HIGHUSER_MOVABLE | GfpFlag.ZERO);
  }

  /** A page for a user that will be a copy of another, or 0.  Linux: folio_prealloc without need_zero. */
  makeForCopy(): Pfn {
    return this.pages.allocPage(Gfp.HIGHUSER_MOVABLE);
  }

  /**
   * The first mapping of a new page, at `address` of `area`.  Nobody else knows the page until its entry is stored: all
   * is written plainly.  Linux: folio_add_new_anon_rmap.
   */
  mapNew(pfn: Pfn, area: VmaRef, address: number): void {
    const { memory, pages } = this;
    const at = pages.frames.pageOf(pfn);
    pages.setPageType(pfn, PageType.ANON);
    memory.write(at + anon.mapping, memory.load(area + vma.anonVma));
    memory.writeFloat64(at + anon.index, pageIndex(memory, area, address));
    memory.write(at + anon.private, EXCLUSIVE);
    memory.write(at + page.flags, memory.read(at + page.flags) | PageFlag.SWAPBACKED);
    memory.write(at + page.mapcount, 0);
    this.count(pfn, 1);
    this.mlocks.addedNew(pfn, area);
  }

  /** One more mapping, in a child: the page is nobody's alone now.  Linux: folio_try_dup_anon_rmap_pte. */
  share(pfn: Pfn): void {
    const at = this.pages.frames.pageOf(pfn);
    this.memory.write(at + anon.private, 0);
    this.memory.add(at + page.mapcount, 1);
    this.pages.getPage(pfn);
  }

  /** One mapping less; the reference that it had is the caller's to drop, after the flush.  Linux: folio_remove_rmap_pte. */
  unmap(pfn: Pfn): void {
    const before = this.memory.add(this.pages.frames.pageOf(pfn) + page.mapcount, -1);
    if (before < 0) bug(`frame ${pfn} is unmapped more often than mapped`);
    if (before === 0) this.count(pfn, -1);
  }

  /** Nobody needs its content until it is written again.  Linux: folio_mark_lazyfree. */
  markLazyFree(pfn: Pfn): void {
    const before = this.memory.and(this.pages.frames.pageOf(pfn) + page.flags, ~PageFlag.SWAPBACKED);
    if ((before & PageFlag.SWAPBACKED) !== 0) this.pages.vmstat.countEvents(VmEvent.pglazyfree, 1);
  }

  isAnon(pfn: Pfn): boolean {
    return (this.memory.read(this.pages.frames.pageOf(pfn) + page.type) & 0xff) === PageType.ANON;
  }

  isExclusive(pfn: Pfn): boolean {
    return (this.memory.read(this.pages.frames.pageOf(pfn) + anon.private) & EXCLUSIVE) !== 0;
  }

  /**
   * Whether a write may take the page as it is: it is exclusive, or nobody else has a reference any more, in which case it
   * is exclusive from now on.  Linux: wp_can_reuse_anon_folio, folio_move_anon_rmap.
   * @holds page table lock
   */
  canReuse(pfn: Pfn, area: VmaRef): boolean {
    if (this.isExclusive(pfn)) return true;
    reached("cow-reuse-shared");
    // This CPU may have a reference for having locked it; another's batch cannot be told from a user.
    const references = this.pages.pageCount(pfn);
    if (references > 1 && references <= MOST_REFERENCES) this.mlocks.drain();
    if (this.pages.pageCount(pfn) !== 1 && !reusesShared) return false;
    const at = this.pages.frames.pageOf(pfn);
    this.memory.write(at + anon.mapping, this.memory.load(area + vma.anonVma));
    this.memory.write(at + anon.private, EXCLUSIVE);
    return true;
  }

  /** Page-table entries that map it. */
  mapcountOf(pfn: Pfn): number {
    return this.memory.load(this.pages.frames.pageOf(pfn) + page.mapcount) + 1;
  }

  private count(pfn: Pfn, change: number): void {
    const { pages } = this;
    pages.vmstat.modNode(
      pages.frames.nodeAt(pages.frames.nodeOf(pages.frames.pageOf(pfn))),
      NodeStat.nr_anon_pages,
      change,
    );
  }
}

/** Where a page of a VMA is in the order of its anon_vma or file.  Linux: linear_page_index. */
export function pageIndex(memory: Memory, area: VmaRef, address: number): number {
  return (
    memory.readFloat64(area + vma.pgoff) +
    Math.floor((address - memory.readFloat64(area + vma.start)) / PAGE_BYTES)
  );
}
