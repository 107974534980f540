/**
 * What the pages of a range are: how many, whose else, written or not, looked at or not.
 *
 * A page's share is its size over the entries that map it, in 4096ths of a byte: so shares of many processes add up to the
 * pages that they share but for what each division drops.
 *
 * Linux: fs/proc/task_mmu.c struct mem_size_stats, smaps_pte_entry, smaps_account, smaps_page_accumulate.
 * Differs: no huge pages, KSM and swap, so their sums stay 0.
 */

import { PteBit } from "../../hardware/page-table-entry.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import { Page } from "../../mm/pages/page.ts";
import { PageFlag } from "../../mm/pages/page-flags.ts";
import { isPresent, PteSoft } from "../../mm/pgtable/pte.ts";
import { contextOf, type MmRef, type VmaRef } from "../../process/vm-area.ts";
import { VmFlag } from "../../process/vm-flags.ts";
import type { ProcessSource } from "./source.ts";

/** Linux: PSS_SHIFT. */
const SHARE_UNIT = 2 ** 12;
/** 4096ths of a byte in a kilobyte. */
const SHARES_OF_KB = SHARE_UNIT * 1024;

const { DIRTY, ACCESSED } = PteBit;
const F = PageFlag;

/** Sums over areas: bytes, and shares in 4096ths of a byte. */
export class Usage {
  resident = 0;
  sharedClean = 0;
  sharedDirty = 0;
  privateClean = 0;
  privateDirty = 0;
  referenced = 0;
  anonymous = 0;
  lazyFree = 0;
  pss = 0;
  pssDirty = 0;
  pssAnon = 0;
  pssFile = 0;
  pssShmem = 0;
  pssLocked = 0;

  /** Adds an area's pages; mmap_lock is held.  Linux: smap_gather_stats. */
  add(source: ProcessSource, mm: MmRef, area: VmaRef, from = 0): void {
    const { vmas } = source.processes;
    const isLocked = (vmas.flagsOf(area) & VmFlag.LOCKED) !== 0;
    const start = Math.max(from, vmas.startOf(area));
    const { pte } = source.paging.tables;
    source.paging.ranges.eachPte(contextOf(mm), start, vmas.endOf(area), (low) => {
      // The page of zeros is nobody's.
      if (isPresent(low) && (low & PteSoft.SPECIAL) === 0)
        this.account(source, pte.pfnOf(low), low, isLocked);
    });
  }

  private account(source: ProcessSource, pfn: number, low: number, isLocked: boolean): void {
    const { frames } = source.pages;
    const { anonPages } = source.processes;
    const flags = frames.memory.read(frames.pageOf(pfn) + Page.flags);
    const isAnon = anonPages.isAnon(pfn);
    const isDirty = (low & DIRTY) !== 0 || (flags & F.DIRTY) !== 0;
    const sharers = anonPages.mapcountOf(pfn);
    const share = Math.floor((PAGE_BYTES * SHARE_UNIT) / Math.max(1, sharers));
    this.resident += PAGE_BYTES;
    if ((low & ACCESSED) !== 0 || (flags & F.REFERENCED) !== 0) this.referenced += PAGE_BYTES;
    if (isAnon) {
      this.anonymous += PAGE_BYTES;
      if ((flags & F.SWAPBACKED) === 0 && !isDirty) this.lazyFree += PAGE_BYTES;
      this.pssAnon += share;
    } else if ((flags & F.SWAPBACKED) !== 0) this.pssShmem += share;
    else this.pssFile += share;
    this.pss += share;
    if (isLocked) this.pssLocked += share;
    if (isDirty) this.pssDirty += share;
    if (sharers > 1) {
      if (isDirty) this.sharedDirty += PAGE_BYTES;
      else this.sharedClean += PAGE_BYTES;
    } else if (isDirty) this.privateDirty += PAGE_BYTES;
    else this.privateClean += PAGE_BYTES;
  }
}

/** Of one area. */
export function usageOf(source: ProcessSource, mm: MmRef, area: VmaRef): Usage {
  const usage = new Usage();
  usage.add(source, mm, area);
  return usage;
}

/** A share in whole kilobytes, rounded down. */
export const shareInKb = (share: number): number => Math.floor(share / SHARES_OF_KB);
