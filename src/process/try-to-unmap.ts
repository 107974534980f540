/**
 * Taking a page away from all processes that map it, by its reverse map, as reclaim does; and with it the reclaim of pages that
 * were given up by MADV_FREE, which need no swap: a page that is still clean goes, one that was written again stays.
 *
 * The page is locked and has a reference of the caller's.  A CPU may remember what was unmapped until `UnmapBatch.flush`.
 *
 * Linux: mm/rmap.c try_to_unmap_one, rmap_walk_anon, folio_get_anon_vma; mm/vmscan.c shrink_folio_list.
 * Differs: anonymous pages without swap, so that only lazily freed ones can go; pages are named by the caller, not taken from lists.
 */

import { PteBit } from "../hardware/page-table-entry.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES, type Pfn, type Pointer } from "../memory/units.ts";
import { VmEvent } from "../mm/pages/counters.ts";
import { Page } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import { AnonPage } from "../mm/pages/page-overlays.ts";
import { isPresent } from "../mm/pgtable/pte.ts";
import type { Paging } from "../mm/shootdown/paging.ts";
import type { Rcu } from "../sync/rcu.ts";
import type { AnonPages } from "./anon-pages.ts";
import type { AnonVmas } from "./anon-vma.ts";
import type { PageLocks } from "./page-lock.ts";
import { type Rss, RssMember } from "./rss.ts";
import { contextOf, type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const { DIRTY, RW } = PteBit;
const { SWAPBACKED } = PageFlag;
const flagsField = Page.flags;
/** Pages go back before the CPUs have been told. */
const freesEarly = mutant("reclaim-free-before-flush");

export interface TryToUnmapParts {
  readonly memory: Memory;
  readonly rcu: Rcu;
  readonly pages: PageAllocator;
  readonly paging: Paging;
  readonly vmas: Vmas;
  readonly anonVmas: AnonVmas;
  readonly anonPages: AnonPages;
  readonly pageLocks: PageLocks;
  readonly rss: Rss;
}

export class TryToUnmap {
  declare private readonly memory: Memory;
  declare private readonly parts: TryToUnmapParts;

  constructor(parts: TryToUnmapParts) {
    this.memory = parts.memory;
    this.parts = parts;
  }

  /**
   * Frees those of these frames that are lazily freed pages and clean; how many.  One flush for all of them.
   * Linux: shrink_folio_list.  @may-sleep
   */
  discard(pfns: readonly Pfn[]): number {
    const { pages, paging, pageLocks } = this.parts;
    const free: Pfn[] = [];
    for (const pfn of pfns) {
      if (!pages.tryGetPage(pfn)) continue;
      let isFree = false;
      if (this.isLazilyFreed(pfn) && pageLocks.tryLock(pfn)) {
        isFree = this.isLazilyFreed(pfn) && this.unmapLocked(pfn) && pages.pageCount(pfn) === 1;
        pageLocks.unlock(pfn);
      }
      if (isFree) free.push(pfn);
      else pages.putPage(pfn);
    }
    reached("reclaim-free-before-flush");
    if (!freesEarly) paging.batch.flush();
    for (const pfn of free) pages.putPage(pfn);
    if (freesEarly) paging.batch.flush();
    pages.vmstat.countEvents(VmEvent.pglazyfreed, free.length);
    return free.length;
  }

  private isLazilyFreed(pfn: Pfn): boolean {
    const { pages, anonPages } = this.parts;
    return (
      anonPages.isAnon(pfn) && (this.memory.load(pages.frames.pageOf(pfn) + flagsField) & SWAPBACKED) === 0
    );
  }

  /** Whether nobody maps the page any more.  Linux: try_to_unmap.  @may-sleep */
  private unmapLocked(pfn: Pfn): boolean {
    const { anonPages, anonVmas } = this.parts;
    const ref = this.getAnonVma(pfn);
    if (ref === 0) return anonPages.mapcountOf(pfn) === 0;
    anonVmas.lock(ref);
    const page = this.parts.pages.frames.pageOf(pfn);
    const index = this.memory.readFloat64(page + AnonPage.index);
    let goesOn = this.memory.read(page + AnonPage.mapping) === ref;
    anonVmas.forEachVma(ref, index, index, (area) => {
      if (goesOn) goesOn = this.unmapOne(pfn, area, index);
    });
    anonVmas.unlock(ref);
    anonVmas.put(ref);
    return goesOn && anonPages.mapcountOf(pfn) === 0;
  }

  /** The page's anon_vma with a reference, or 0 when nobody maps it.  Linux: folio_get_anon_vma. */
  private getAnonVma(pfn: Pfn): Pointer {
    const { rcu, pages, anonVmas, anonPages } = this.parts;
    rcu.readLock();
    const ref = this.memory.read(pages.frames.pageOf(pfn) + AnonPage.mapping);
    // Its object may be another anon_vma by now; while the page is mapped it is not.
    let found = 0;
    if (anonPages.mapcountOf(pfn) > 0 && anonVmas.tryGet(ref)) found = ref;
    rcu.readUnlock();
    if (found === 0 || anonPages.mapcountOf(pfn) > 0) return found;
    anonVmas.put(found);
    return 0;
  }

  /** Takes the page out of one VMA; false: it stays, and the walk ends.  Linux: try_to_unmap_one. */
  private unmapOne(pfn: Pfn, area: VmaRef, index: number): boolean {
    const { vmas, paging, rcu } = this.parts;
    const { tables } = paging;
    const mm = this.memory.read(area + VmArea.mm);
    const address = vmas.startOf(area) + (index - vmas.pgoffOf(area)) * PAGE_BYTES;
    // Tables that go meanwhile are freed after this section.  Linux: page_vma_mapped_walk, pte_offset_map.
    rcu.readLock();
    const pmd = tables.pmdOffset(contextOf(mm), address);
    const at = pmd === 0 ? 0 : tables.pteOffsetMapLock(pmd, address);
    rcu.readUnlock();
    if (at === 0) return true;
    const low = tables.pte.get(at);
    const isHere = isPresent(low) && tables.pte.pfnOf(low) === pfn;
    let goesOn = true;
    if (isHere) goesOn = (vmas.flagsOf(area) & VmFlag.LOCKED) === 0 && this.clear(mm, at, pfn, address);
    tables.pteUnlock(at);
    return goesOn;
  }

  /** Clears the entry, unless the page was written since it was given up.  @holds page table lock */
  private clear(mm: MmRef, at: Pointer, pfn: Pfn, address: number): boolean {
    const { paging, pages, anonPages, rss } = this.parts;
    const { tables, batch, shootdown } = paging;
    const context = contextOf(mm);
    const low = tables.pte.take(at);
    const { high } = tables.pte;
    if (batch.mayDefer(context)) batch.add(context, (low & RW) !== 0);
    else shootdown.flushPage(context, address);
    // The references: the mappings', and the caller's.
    const isShared = pages.pageCount(pfn) !== 1 + anonPages.mapcountOf(pfn);
    if ((low & DIRTY) !== 0 || isShared) {
      if ((low & DIRTY) !== 0) this.memory.or(pages.frames.pageOf(pfn) + flagsField, SWAPBACKED);
      tables.pte.set(at, low, high);
      return false;
    }
    rss.add(mm, RssMember.ANON, -1);
    anonPages.unmap(pfn);
    // The mapping's reference; the caller has another one.
    pages.putPage(pfn);
    return true;
  }
}
