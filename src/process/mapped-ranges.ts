/**
 * Pages and page-table entries of ranges of VMAs: taken away, given other rights, made ready.
 *
 * Everything that takes rights away collects what it has changed in a gather, and returns when the flush is done.
 *
 * Linux: mm/memory.c unmap_region, zap_pte_range; mm/mprotect.c change_pte_range, can_change_pte_writable; mm/madvise.c;
 * mm/mincore.c.
 */

import { ENTRY_WORDS, entryHigh, entryLow, PTE_HIGH_NX, PteBit } from "../hardware/page-table-entry.ts";
import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES, type Pfn, type Pointer } from "../memory/units.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import { CHANGE_KEEPS, isPresent, PageProt, PteSoft } from "../mm/pgtable/pte.ts";
import { NO_CEILING } from "../mm/pgtable/table-ranges.ts";
import type { MmuGather } from "../mm/shootdown/mmu-gather.ts";
import type { Paging } from "../mm/shootdown/paging.ts";
import type { AnonPages } from "./anon-pages.ts";
import { FaultOutcome, type Faults } from "./faults.ts";
import type { PageOps } from "./page-ops.ts";
import { type Rss, RssMember } from "./rss.ts";
import { contextOf, type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VM_ACCESS, VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const { RW, DIRTY, ACCESSED } = PteBit;
const { SPECIAL } = PteSoft;

export interface MappedRangeParts {
  readonly memory: Memory;
  readonly paging: Paging;
  readonly vmas: Vmas;
  readonly anonPages: AnonPages;
  readonly faults: Faults;
  readonly rss: Rss;
}

/** Looks at an entry that is not empty; its table's lock is held.  True when the gather is full. */
type EntryVisitor = (at: Pointer, low: number, address: number) => boolean;

export class MappedRanges implements PageOps {
  declare private readonly parts: MappedRangeParts;
  declare private readonly memory: Memory;
  declare private readonly tables: PageTables;

  constructor(parts: MappedRangeParts) {
    this.parts = parts;
    this.memory = parts.memory;
    this.tables = parts.paging.tables;
  }

  unmapRegion(mm: MmRef, areas: readonly VmaRef[], floor: number, ceiling: number): void {
    const { paging, vmas } = this.parts;
    const gather = paging.gather(contextOf(mm));
    for (const area of areas) this.zapInto(gather, mm, vmas.startOf(area), vmas.endOf(area));
    const [start, end] = [vmas.startOf(areas[0]), vmas.endOf(areas[areas.length - 1])];
    paging.ranges.freeTables(gather, start, end, floor, ceiling);
    gather.finish();
  }

  /** All of an address space that ends.  Linux: exit_mmap. */
  unmapAll(mm: MmRef, areas: readonly VmaRef[], end: number): void {
    const { paging, vmas } = this.parts;
    const gather = paging.gather(contextOf(mm), true);
    for (const area of areas) this.zapInto(gather, mm, vmas.startOf(area), vmas.endOf(area));
    paging.ranges.freeTables(gather, 0, end, 0, NO_CEILING);
    gather.finish();
  }

  zap(mm: MmRef, _area: VmaRef, start: number, end: number): void {
    const gather = this.parts.paging.gather(contextOf(mm));
    this.zapInto(gather, mm, start, end);
    gather.finish();
  }

  protect(mm: MmRef, area: VmaRef, start: number, end: number): void {
    const { tables, parts } = this;
    const flags = this.memory.read(area + VmArea.flags);
    const nx = (flags & VmFlag.EXEC) === 0 ? PTE_HIGH_NX : 0;
    const bits = (flags & VM_ACCESS) === 0 ? PageProt.NONE & ~ACCESSED : PageProt.READ & ~ACCESSED;
    const mayWrite = (flags & (VmFlag.WRITE | VmFlag.SHARED)) === VmFlag.WRITE;
    this.change(mm, start, end, (at, low) => {
      if (!isPresent(low)) return null;
      const pfn = tables.pte.pfnOf(low);
      // A page that is this process's alone is writable at once; any other is looked at in a fault.
      const isOwn = mayWrite && (low & SPECIAL) === 0 && parts.anonPages.isExclusive(pfn);
      const now = tables.pte.take(at);
      const next = bits | (now & CHANGE_KEEPS) | (isOwn ? RW : 0);
      const high = tables.pte.high & PTE_HIGH_NX;
      tables.pte.set(at, entryLow(pfn, next), entryHigh(pfn, nx));
      return now !== entryLow(pfn, next) || high !== nx;
    });
  }

  /** Linux: madvise_free_pte_range.  What is written later is dirty again, and stays. */
  freeLazily(mm: MmRef, _area: VmaRef, start: number, end: number): void {
    this.clean(mm, start, end, ACCESSED | DIRTY);
  }

  /** Linux: madvise_cold_or_pageout_pte_range. */
  age(mm: MmRef, _area: VmaRef, start: number, end: number): void {
    this.clean(mm, start, end, ACCESSED);
  }

  punch(): number {
    return -Errno.EINVAL; // no file has been mapped: see faults
  }

  populate(mm: MmRef, area: VmaRef, range: { start: number; end: number; isWrite: boolean }): number {
    const { faults } = this.parts;
    let done = 0;
    for (let address = range.start; address < range.end; ) {
      const outcome = faults.faultIn(mm, area, address, range.isWrite);
      if (outcome === FaultOutcome.RETRY) continue;
      if (outcome !== FaultOutcome.DONE)
        return done > 0 ? done : outcome === FaultOutcome.OOM ? -Errno.ENOMEM : -Errno.EFAULT;
      done++;
      address += PAGE_BYTES;
    }
    return done;
  }

  residency(mm: MmRef, _area: VmaRef, start: number, end: number): number[] {
    const resident = new Array<number>((end - start) / PAGE_BYTES).fill(0);
    this.each(mm, start, end, (_at, low, address) => {
      if (isPresent(low)) resident[(address - start) / PAGE_BYTES] = 1;
      return false;
    });
    return resident;
  }

  /** Anonymous pages of a range: how many, and their shares of the processes that map them, in 4096ths of a page. */
  usage(mm: MmRef, start: number, end: number): { anonPages: number; share: number } {
    const { anonPages } = this.parts;
    let [count, share] = [0, 0];
    this.each(mm, start, end, (_at, low) => {
      if (!isPresent(low) || (low & SPECIAL) !== 0) return false;
      count++;
      share += Math.floor(PAGE_BYTES / anonPages.mapcountOf(this.tables.pte.pfnOf(low)));
      return false;
    });
    return { anonPages: count, share };
  }

  // ---- parts ----

  private zapInto(gather: MmuGather, mm: MmRef, start: number, end: number): void {
    const { tables } = this;
    const { anonPages, rss } = this.parts;
    let gone = 0;
    this.each(
      mm,
      start,
      end,
      (at, _low, address) => {
        const low = tables.pte.take(at);
        gather.noteCleared(address);
        if (!isPresent(low) || (low & SPECIAL) !== 0) return false;
        const pfn: Pfn = tables.pte.pfnOf(low);
        anonPages.unmap(pfn);
        gone++;
        return gather.removePage(pfn);
      },
      gather,
    );
    if (gone > 0) rss.add(mm, RssMember.ANON, -gone);
  }

  /** Clears bits of all entries of anonymous pages. */
  private clean(mm: MmRef, start: number, end: number, bits: number): void {
    const { tables } = this;
    this.change(mm, start, end, (at, low) => {
      if (!isPresent(low) || (low & SPECIAL) !== 0 || (low & bits) === 0) return null;
      tables.pte.change(at, bits, 0);
      return true;
    });
  }

  /** Changes entries, and flushes where `change` says that a TLB may know more than is allowed now. */
  private change(
    mm: MmRef,
    start: number,
    end: number,
    change: (at: Pointer, low: number) => boolean | null,
  ): void {
    const gather = this.parts.paging.gather(contextOf(mm));
    this.each(mm, start, end, (at, low, address) => {
      if (change(at, low) === true) gather.noteCleared(address);
      return false;
    });
    gather.finish();
  }

  /** Visits every entry that is not empty; flushes `gather`, without the lock, when it is full. */
  private each(mm: MmRef, start: number, end: number, visit: EntryVisitor, gather?: MmuGather): void {
    const { tables } = this;
    this.parts.paging.ranges.eachPmd(contextOf(mm), start, end, (pmd, first, last) => {
      for (let address = first; address < last; ) {
        const table = tables.pteOffsetMapLock(pmd, address);
        if (table === 0) return;
        let isFull = false;
        for (let at = table; address < last && !isFull; at += ENTRY_WORDS, address += PAGE_BYTES) {
          const low = tables.pte.get(at);
          if (low !== 0 || tables.pte.high !== 0) isFull = visit(at, low, address);
        }
        tables.pteUnlock(table);
        if (isFull) gather?.flush();
      }
    });
  }
}
