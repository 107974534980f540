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
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES, type Pfn, type Pointer } from "../memory/units.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import { CHANGE_KEEPS, isPresent, PageProt, PteSoft } from "../mm/pgtable/pte.ts";
import { NO_CEILING } from "../mm/pgtable/table-ranges.ts";
import type { MmuGather } from "../mm/shootdown/mmu-gather.ts";
import type { Paging } from "../mm/shootdown/paging.ts";
import { type AnonPages, pageIndex } from "./anon-pages.ts";
import { FaultOutcome } from "./fault.ts";
import type { Faults } from "./faults.ts";
import type { FilePages } from "./file-pages.ts";
import type { FileWrites } from "./file-writes.ts";
import type { Files } from "./files.ts";
import type { MlockPages } from "./mlock-pages.ts";
import type { PageCache } from "./page-cache.ts";
import type { PageOps } from "./page-ops.ts";
import { type Rss, RssMember } from "./rss.ts";
import type { Shmem } from "./shmem.ts";
import { contextOf, type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VM_ACCESS, VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const { RW, DIRTY, ACCESSED } = PteBit;
const { SPECIAL } = PteSoft;
/** Entries are taken away without their table's lock. */
const zapsUnlocked = mutant("zap-unlocked");
/** Dirty pages of files are flushed when the lock is gone. */
const flushesLate = mutant("zap-flush-late");

export interface MappedRangeParts {
  readonly memory: Memory;
  readonly paging: Paging;
  readonly vmas: Vmas;
  readonly anonPages: AnonPages;
  readonly writes: FileWrites;
  readonly mlocks: MlockPages;
  readonly filePages: FilePages;
  readonly files: Files;
  readonly cache: PageCache;
  readonly shmem: Shmem;
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
    this.parts.rss.noteHighWater(mm);
    const gather = paging.gather(contextOf(mm));
    for (const area of areas) this.zapInto(gather, area, vmas.startOf(area), vmas.endOf(area));
    // Who truncates must not look into tables that go.
    for (const area of areas) vmas.unlinked(area);
    const [start, end] = [vmas.startOf(areas[0]), vmas.endOf(areas[areas.length - 1])];
    paging.ranges.freeTables(gather, start, end, floor, ceiling);
    gather.finish();
  }

  /** All of an address space that ends.  Linux: exit_mmap. */
  unmapAll(mm: MmRef, areas: readonly VmaRef[], end: number): void {
    const { paging, vmas } = this.parts;
    const gather = paging.gather(contextOf(mm), true);
    for (const area of areas) this.zapInto(gather, area, vmas.startOf(area), vmas.endOf(area));
    for (const area of areas) vmas.unlinked(area);
    paging.ranges.freeTables(gather, 0, end, 0, NO_CEILING);
    gather.finish();
  }

  zap(mm: MmRef, area: VmaRef, start: number, end: number): void {
    this.parts.rss.noteHighWater(mm);
    const gather = this.parts.paging.gather(contextOf(mm));
    this.zapInto(gather, area, start, end);
    gather.finish();
  }

  /** What maps pages of a file, and with `evenCows` private copies of them, too.  Linux: unmap_mapping_range_vma. */
  unmapFile(area: VmaRef, start: number, end: number, evenCows: boolean): void {
    const mm = this.memory.read(area + VmArea.mm);
    const gather = this.parts.paging.gather(contextOf(mm));
    this.zapInto(gather, area, start, end, evenCows);
    gather.finish();
  }

  protect(mm: MmRef, area: VmaRef, start: number, end: number): void {
    const { tables, parts } = this;
    const flags = this.memory.read(area + VmArea.flags);
    const nx = (flags & VmFlag.EXEC) === 0 ? PTE_HIGH_NX : 0;
    const bits = (flags & VM_ACCESS) === 0 ? PageProt.NONE & ~ACCESSED : PageProt.READ & ~ACCESSED;
    const isWritable = (flags & VmFlag.WRITE) !== 0;
    const isShared = (flags & VmFlag.SHARED) !== 0;
    const asks = isShared && parts.writes.wantsNotice(area);
    this.change(mm, start, end, (at, low) => {
      if (!isPresent(low)) return null;
      const pfn = tables.pte.pfnOf(low);
      // A page of a shared mapping, or of this process alone, is writable at once; any other is looked at in a fault.
      // Where the file's type is asked, it was so about those that are dirty.  Linux: can_change_shared_pte_writable.
      const isOwn =
        isWritable &&
        (isShared ? !asks || (low & DIRTY) !== 0 : (low & SPECIAL) === 0 && parts.anonPages.isExclusive(pfn));
      const now = tables.pte.take(at);
      const next = bits | (now & CHANGE_KEEPS) | (isOwn ? RW : 0);
      const high = tables.pte.high & PTE_HIGH_NX;
      tables.pte.set(at, entryLow(pfn, next), entryHigh(pfn, nx));
      return now !== entryLow(pfn, next) || high !== nx;
    });
  }

  /** Linux: madvise_free_pte_range.  What is written later is dirty again, and stays. */
  freeLazily(mm: MmRef, _area: VmaRef, start: number, end: number): void {
    this.clean(mm, start, end, ACCESSED | DIRTY, (pfn) => this.parts.anonPages.markLazyFree(pfn));
  }

  /** Linux: madvise_cold_or_pageout_pte_range. */
  age(mm: MmRef, _area: VmaRef, start: number, end: number): void {
    this.clean(mm, start, end, ACCESSED);
  }

  /** mmap_lock is given up meanwhile: writers of files hold theirs first.  Linux: madvise_remove. */
  punch(mm: MmRef, area: VmaRef, start: number, end: number): number {
    const { vmas, files, shmem } = this.parts;
    const file = this.memory.read(area + VmArea.file);
    const offset = start - vmas.startOf(area) + vmas.pgoffOf(area) * PAGE_BYTES;
    files.get(file);
    vmas.locks.readUnlock(mm);
    const result = shmem.punchHole(file, offset, end - start);
    files.put(file);
    vmas.locks.readLock(mm);
    return result;
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
    this.parts.mlocks.drain();
    return done;
  }

  /** Linux: mlock_vma_pages_range, mlock_pte_range. */
  mlock(mm: MmRef, start: number, end: number, isLocked: boolean): void {
    const { mlocks } = this.parts;
    mlocks.drain();
    this.each(mm, start, end, (_at, low) => {
      if (!isPresent(low) || (low & SPECIAL) !== 0) return false;
      const pfn = this.tables.pte.pfnOf(low);
      if (isLocked) mlocks.lock(pfn);
      else mlocks.unlock(pfn);
      return false;
    });
    mlocks.drain();
  }

  residency(mm: MmRef, area: VmaRef, start: number, end: number): number[] {
    const { files, cache } = this.parts;
    const resident = new Array<number>((end - start) / PAGE_BYTES).fill(0);
    const inode = files.mappedBy(area);
    if (inode !== 0) {
      const first = pageIndex(this.memory, area, start);
      cache.each(inode, first, first + resident.length - 1, (index) => {
        resident[index - first] = 1;
      });
    }
    this.each(mm, start, end, (_at, low, address) => {
      if (isPresent(low)) resident[(address - start) / PAGE_BYTES] = 1;
      return false;
    });
    return resident;
  }

  // ---- parts ----

  /** Linux: zap_pte_range, zap_present_folio_ptes. */
  private zapInto(gather: MmuGather, area: VmaRef, start: number, end: number, evenCows = true): void {
    const { tables } = this;
    const { anonPages, filePages, rss, mlocks } = this.parts;
    const mm = this.memory.read(area + VmArea.mm);
    const isLocked = (this.memory.read(area + VmArea.flags) & VmFlag.LOCKED) !== 0;
    const gone = { anon: 0, shmem: 0 };
    this.each(
      mm,
      start,
      end,
      (at, seen, address) => {
        const isPage = isPresent(seen) && (seen & SPECIAL) === 0;
        const isAnon = isPage && anonPages.isAnon(tables.pte.pfnOf(seen));
        if (!evenCows && (!isPage || isAnon)) return false;
        const low = tables.pte.take(at);
        gather.noteCleared(address);
        if (!isPage) return false;
        const pfn: Pfn = tables.pte.pfnOf(low);
        if (isLocked) mlocks.unlock(pfn);
        if (isAnon) {
          gone.anon++;
          anonPages.unmap(pfn);
          return gather.removePage(pfn);
        }
        gone.shmem++;
        const isDirty = (low & DIRTY) !== 0;
        if (isDirty) filePages.markDirty(pfn);
        else filePages.unmap(pfn);
        // Others may still write through their TLBs: until the flush the page counts as mapped.
        return gather.removePage(pfn, isDirty);
      },
      gather,
    );
    if (isLocked) mlocks.drain();
    if (gone.anon > 0) rss.add(mm, RssMember.ANON, -gone.anon);
    if (gone.shmem > 0) rss.add(mm, RssMember.SHMEM, -gone.shmem);
  }

  /** Clears bits of all entries of pages, each of which is `seen`. */
  private clean(mm: MmRef, start: number, end: number, bits: number, seen?: (pfn: Pfn) => void): void {
    const { tables } = this;
    this.change(mm, start, end, (at, low) => {
      if (!isPresent(low) || (low & SPECIAL) !== 0) return null;
      seen?.(tables.pte.pfnOf(low));
      if ((low & bits) === 0) return null;
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
    const isUnlocked = zapsUnlocked && gather !== undefined;
    if (gather !== undefined) reached("zap-unlocked");
    this.parts.paging.ranges.eachPmd(contextOf(mm), start, end, (pmd, first, last) => {
      for (let address = first; address < last; ) {
        const table = tables.pteOffsetMapLock(pmd, address);
        if (table === 0) return;
        this.parts.paging.batch.flushPending(contextOf(mm));
        if (isUnlocked) tables.pteUnlock(table);
        let isFull = false;
        for (let at = table; address < last && !isFull; at += ENTRY_WORDS, address += PAGE_BYTES) {
          const low = tables.pte.get(at);
          if (low !== 0 || tables.pte.high !== 0) isFull = visit(at, low, address);
        }
        if (!flushesLate) this.endRmaps(gather);
        if (!isUnlocked) tables.pteUnlock(table);
        if (flushesLate) this.endRmaps(gather);
        if (isFull) gather?.flush();
      }
    });
  }

  private endRmaps(gather?: MmuGather): void {
    if (gather !== undefined) reached("zap-flush-late");
    gather?.endRmaps((pfn) => this.parts.filePages.unmap(pfn));
  }
}
