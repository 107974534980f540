/**
 * /proc/PID/pagemap: an entry of 64 bits for each page of the address space.
 *
 *   bits 0-54 frame, of a page that is there   55 soft-dirty   56 mapped by this process alone   57 write-protected by
 *   userfaultfd   61 of a file, or shared anonymous   62 swapped   63 there
 *
 * The file is binary; the report is text, a line a page that is there: its address and its entry.
 *
 * Linux: fs/proc/task_mmu.c pte_to_pagemap_entry, pagemap_pmd_range; Documentation/admin-guide/mm/pagemap.rst.
 * Differs: frames are shown to everybody.
 */

import { entryPfn } from "../../hardware/page-table-entry.ts";
import { isPresent, PteSoft } from "../../mm/pgtable/pte.ts";
import { SwapBit, swapOffset, swapType } from "../../mm/pgtable/swap-entry.ts";
import { contextOf, type MmRef, type VmaRef } from "../../process/vm-area.ts";
import { VmFlag } from "../../process/vm-flags.ts";
import { eachArea } from "./areas.ts";
import type { ProcessView } from "./process.ts";
import type { ProcessSource } from "./source.ts";

/** Bits of the upper half of an entry. */
export const PagemapBit = {
  SOFT_DIRTY: 1 << 23,
  MMAP_EXCLUSIVE: 1 << 24,
  UFFD_WP: 1 << 25,
  FILE: 1 << 29,
  SWAP: 1 << 30,
  PRESENT: 0x8000_0000,
} as const;
const SWAP_TYPE_BITS = 5;
const HALF = 2 ** 32;

/** An entry in two halves: numbers hold no 64 bits. */
export interface PagemapEntry {
  readonly address: number;
  readonly high: number;
  readonly low: number;
}

export function pagemap(source: ProcessSource, { mm }: ProcessView): string {
  const lines: string[] = [];
  const half = (value: number): string => value.toString(16).padStart(8, "0");
  eachArea(source, mm, (area, from) => {
    for (const { address, high, low } of pagemapOf(source, mm, area, from))
      lines.push(`${address.toString(16).padStart(16, "0")} ${half(high)}${half(low)}\n`);
  });
  return lines.join("");
}

/** Entries of the pages of a mapping that are there or swapped, from `from` on. */
export function pagemapOf(source: ProcessSource, mm: MmRef, area: VmaRef, from: number): PagemapEntry[] {
  const { vmas } = source.processes;
  const { pte } = source.paging.tables;
  const isNew = (vmas.flagsOf(area) & VmFlag.SOFTDIRTY) !== 0;
  const entries: PagemapEntry[] = [];
  source.paging.ranges.eachPte(contextOf(mm), from, vmas.endOf(area), (low, address) => {
    const [flags, frame] = isPresent(low) ? presentBits(source, low) : swapBits(low, pte.high);
    const high = (flags | (isNew ? PagemapBit.SOFT_DIRTY : 0) | Math.floor(frame / HALF)) >>> 0;
    entries.push({ address, high, low: frame % HALF });
  });
  return entries;
}

function presentBits(source: ProcessSource, low: number): [flags: number, pfn: number] {
  const { anonPages } = source.processes;
  const pfn = entryPfn(low, source.paging.tables.pte.high);
  const isPage = (low & PteSoft.SPECIAL) === 0;
  const flags =
    PagemapBit.PRESENT |
    ((low & PteSoft.SOFT_DIRTY) === 0 ? 0 : PagemapBit.SOFT_DIRTY) |
    ((low & PteSoft.UFFD_WP) === 0 ? 0 : PagemapBit.UFFD_WP) |
    (isPage && !anonPages.isAnon(pfn) ? PagemapBit.FILE : 0) |
    (isPage && anonPages.mapcountOf(pfn) === 1 ? PagemapBit.MMAP_EXCLUSIVE : 0);
  return [flags, pfn];
}

/** Type and offset stand where the frame would. */
function swapBits(low: number, high: number): [flags: number, place: number] {
  const flags =
    PagemapBit.SWAP |
    ((low & SwapBit.SOFT_DIRTY) === 0 ? 0 : PagemapBit.SOFT_DIRTY) |
    ((low & SwapBit.UFFD_WP) === 0 ? 0 : PagemapBit.UFFD_WP);
  return [flags, swapOffset(low, high) * 2 ** SWAP_TYPE_BITS + swapType(high)];
}
