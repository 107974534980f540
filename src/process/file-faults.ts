/**
 * Faults on pages of files where no entry is.
 *
 *   read                   what is cached of the 16 pages around goes in at once; else the page is brought in and mapped
 *   write, private         a copy of the page, of this process alone
 *   write, shared          the page itself, dirty; the file's type may want to be asked: file-writes.ts
 *
 * A page is mapped while it is locked, see shmem.ts.
 *
 * Linux: mm/memory.c do_fault, do_read_fault, do_fault_around, do_cow_fault, do_shared_fault, finish_fault, set_pte_range;
 * mm/filemap.c filemap_map_pages; mm/shmem.c shmem_fault.
 */

import { PteBit } from "../hardware/page-table-entry.ts";
import type { Memory } from "../memory/memory.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn, type Pointer } from "../memory/units.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import { PageProt } from "../mm/pgtable/pte.ts";
import type { Shootdown } from "../mm/shootdown/shootdown.ts";
import { type AnonPages, pageIndex } from "./anon-pages.ts";
import { type Fault, FaultOutcome } from "./fault.ts";
import type { FaultPages } from "./fault-pages.ts";
import type { FilePages } from "./file-pages.ts";
import { type FileWrites, MKWRITE_LOCKED } from "./file-writes.ts";
import type { Files } from "./files.ts";
import type { MlockPages } from "./mlock-pages.ts";
import type { PageCache } from "./page-cache.ts";
import type { PageLocks } from "./page-lock.ts";
import { type Rss, RssMember } from "./rss.ts";
import type { Shmem } from "./shmem.ts";
import { contextOf, VmArea, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";

const vma = VmArea;
const { DIRTY, RW } = PteBit;
const { DONE, OOM } = FaultOutcome;
/** Linux: fault_around_bytes. */
const AROUND_PAGES = 16;
const TABLE_PAGES = 512;

export interface FileFaultParts {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly tables: PageTables;
  readonly shootdown: Shootdown;
  readonly files: Files;
  readonly cache: PageCache;
  readonly pageLocks: PageLocks;
  readonly shmem: Shmem;
  readonly filePages: FilePages;
  readonly anonPages: AnonPages;
  readonly rss: Rss;
  readonly faultPages: FaultPages;
  readonly mlocks: MlockPages;
  readonly writes: FileWrites;
}

/** What all faults do. */
export interface FaultSteps {
  /** Sees to it that the VMA has an anon_vma: a FaultOutcome. */
  prepare(fault: Fault): number;
  /** Writes an entry with the VMA's right to execute.  @holds page table lock */
  set(at: Pointer, area: VmaRef, pfn: Pfn, bits: number): void;
}

export class FileFaults {
  declare private readonly parts: FileFaultParts;
  declare private readonly memory: Memory;
  declare private readonly tables: PageTables;

  constructor(parts: FileFaultParts) {
    this.parts = parts;
    this.memory = parts.memory;
    this.tables = parts.tables;
  }

  /** Linux: do_fault. */
  resolve(fault: Fault, steps: FaultSteps): number {
    if (!fault.isWrite) return this.mapAround(fault, steps) ? DONE : this.mapPage(fault, steps);
    const isShared = (this.memory.read(fault.area + vma.flags) & VmFlag.SHARED) !== 0;
    return isShared ? this.mapPage(fault, steps) : this.copy(fault, steps);
  }

  /** Maps the page itself.  Linux: do_read_fault, do_shared_fault. */
  private mapPage(fault: Fault, steps: FaultSteps): number {
    const { tables } = this;
    const { shmem, filePages, rss, faultPages, writes, pageLocks, pages, mlocks } = this.parts;
    const { mm, area, address, isWrite } = fault;
    const pfn = faultPages.bring(fault);
    if (pfn <= 0) return -pfn;
    const { done } = faultPages;
    if (isWrite && writes.wantsNotice(area)) {
      pageLocks.unlock(pfn);
      const asked = writes.ask(area, pfn);
      if (asked !== MKWRITE_LOCKED) {
        pages.putPage(pfn);
        return asked;
      }
    }
    const at = tables.pteAllocMapLock(contextOf(mm), address);
    const isMapped = at !== 0 && this.isEmpty(at);
    if (isMapped) {
      rss.add(mm, RssMember.SHMEM, 1);
      filePages.map(pfn);
      mlocks.added(pfn, area);
      steps.set(at, area, pfn, this.bitsOf(area) | (isWrite ? RW | DIRTY : 0));
    } else if (at !== 0) this.parts.shootdown.flushPageHere(address);
    if (at !== 0) tables.pteUnlock(at);
    if (isWrite) filePages.markDirty(pfn);
    shmem.release(pfn, isMapped);
    return at === 0 ? OOM : done;
  }

  /** Maps a copy.  Linux: do_cow_fault. */
  private copy(fault: Fault, steps: FaultSteps): number {
    const { tables, memory } = this;
    const { shmem, anonPages, pages, rss, faultPages } = this.parts;
    const { mm, area, address } = fault;
    const prepared = steps.prepare(fault);
    if (prepared !== DONE) return prepared;
    const own = anonPages.makeForCopy();
    if (own === 0) return OOM;
    const pfn = faultPages.bring(fault);
    if (pfn <= 0) {
      pages.putPage(own);
      return -pfn;
    }
    const { done } = faultPages;
    memory.copy(frameOf(own), frameOf(pfn), FRAME_WORDS);
    const at = tables.pteAllocMapLock(contextOf(mm), address);
    if (at !== 0 && this.isEmpty(at)) {
      rss.add(mm, RssMember.ANON, 1);
      anonPages.mapNew(own, area, address);
      steps.set(at, area, own, PageProt.WRITE | DIRTY);
    } else {
      if (at !== 0) this.parts.shootdown.flushPageHere(address);
      pages.putPage(own);
    }
    if (at !== 0) tables.pteUnlock(at);
    // Till here the page was locked: a truncation that has unmapped all copies would have found this one.
    shmem.release(pfn);
    return at === 0 ? OOM : done;
  }

  /** Maps what is cached around; whether the page itself was.  Linux: do_fault_around, filemap_map_pages. */
  private mapAround(fault: Fault, steps: FaultSteps): boolean {
    const { tables, memory } = this;
    const { mm, area, address } = fault;
    const start = memory.readFloat64(area + vma.start);
    const pages = (memory.readFloat64(area + vma.end) - start) / PAGE_BYTES;
    const inTable = (address / PAGE_BYTES) % TABLE_PAGES;
    const inArea = (address - start) / PAGE_BYTES;
    const first = Math.max(inTable - (inTable % AROUND_PAGES), inTable - Math.min(inTable, inArea));
    const end = Math.min(first + AROUND_PAGES, TABLE_PAGES, inTable + pages - inArea);
    const index = pageIndex(memory, area, address);
    let at = tables.pteAllocMapLock(contextOf(mm), address + (first - inTable) * PAGE_BYTES);
    if (at === 0) return false;
    const lock = at;
    let isDone = false;
    let mapped = 0;
    for (let i = first; i < end; i++, at = tables.pte.next(at)) {
      const wasMapped = this.mapIfCached(at, area, index + i - inTable, steps);
      if (wasMapped) mapped++;
      if (wasMapped && i === inTable) isDone = true;
    }
    if (mapped > 0) this.parts.rss.add(mm, RssMember.SHMEM, mapped);
    tables.pteUnlock(lock);
    return isDone;
  }

  /** Linux: next_uptodate_folio, filemap_map_order0_folio.  @holds page table lock */
  private mapIfCached(at: Pointer, area: VmaRef, index: number, steps: FaultSteps): boolean {
    const { files, cache, pageLocks, shmem, pages, filePages, mlocks } = this.parts;
    const inode = files.mappedBy(area);
    if (index * PAGE_BYTES >= shmem.sizeOf(inode) || !this.isEmpty(at)) return false;
    const pfn = cache.find(inode, index);
    if (pfn === 0) return false;
    if (!pageLocks.tryLock(pfn)) {
      pages.putPage(pfn);
      return false;
    }
    const isUsed = cache.inodeOf(pfn) === inode && index * PAGE_BYTES < shmem.sizeOf(inode);
    if (isUsed) {
      filePages.map(pfn);
      mlocks.added(pfn, area);
      steps.set(at, area, pfn, this.bitsOf(area));
    }
    shmem.release(pfn, isUsed);
    return isUsed;
  }

  /** What an entry for a page of the file allows.  Linux: vm_page_prot. */
  private bitsOf(area: VmaRef): number {
    const both = VmFlag.SHARED | VmFlag.WRITE;
    if (this.parts.writes.wantsNotice(area)) return PageProt.READ;
    return (this.memory.read(area + vma.flags) & both) === both ? PageProt.WRITE : PageProt.READ;
  }

  private isEmpty(at: Pointer): boolean {
    return this.tables.pte.get(at) === 0 && this.tables.pte.high === 0;
  }
}
