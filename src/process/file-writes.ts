/**
 * Files whose type wants to know which of their pages are written: these are mapped without the right to write, and a write
 * asks the type first (page_mkwrite).  From then on the page is dirty, until it is cleaned: all its entries lose the right to
 * write, so that the next write asks again.
 *
 * Both happen while the page is locked.  So a page is in the file when it becomes writable, or the fault begins anew; and no
 * write is between having asked and being seen when a page is cleaned.
 *
 * Linux: mm/memory.c do_page_mkwrite, wp_page_shared, finish_mkwrite_fault; mm/filemap.c filemap_page_mkwrite; mm/rmap.c
 * folio_mkclean, page_vma_mkclean_one; mm/page-writeback.c folio_clear_dirty_for_io, write_cache_pages.
 * Differs: who writes a page keeps it locked; nobody is slowed down who makes pages dirty (balance_dirty_pages).
 */

import { PteBit } from "../hardware/page-table-entry.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES, type Pfn } from "../memory/units.ts";
import { NodeStat, VmEvent } from "../mm/pages/counters.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import type { Shootdown } from "../mm/shootdown/shootdown.ts";
import { type Fault, FaultOutcome } from "./fault.ts";
import type { InodeRef } from "./file-layout.ts";
import type { FilePages } from "./file-pages.ts";
import type { Files } from "./files.ts";
import type { PageCache } from "./page-cache.ts";
import type { PageLocks } from "./page-lock.ts";
import type { Shmem } from "./shmem.ts";
import { contextOf, VmArea, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";

const vma = VmArea;
const { RW, DIRTY, ACCESSED, PRESENT } = PteBit;
const { DONE, SIGBUS } = FaultOutcome;
const LAST_PAGE = 2 ** 52;
/** TLBs go on knowing that a page that was cleaned may be written. */
const cleansUnflushed = mutant("mkclean-no-flush");
/** A page that was cut off from its file becomes writable all the same. */
const trustsPage = mutant("page-mkwrite-no-recheck");

/** The page is locked, and may be made writable. */
export const MKWRITE_LOCKED = -1;

export interface FileWriteParts {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly tables: PageTables;
  readonly shootdown: Shootdown;
  readonly files: Files;
  readonly cache: PageCache;
  readonly pageLocks: PageLocks;
  readonly filePages: FilePages;
  readonly shmem: Shmem;
}

export class FileWrites {
  declare private readonly parts: FileWriteParts;
  declare private readonly memory: Memory;
  declare private readonly tables: PageTables;

  constructor(parts: FileWriteParts) {
    this.parts = parts;
    this.memory = parts.memory;
    this.tables = parts.tables;
  }

  /** Whether writes to a shared mapping must be told.  Linux: vma_wants_writenotify. */
  wantsNotice(area: VmaRef): boolean {
    const { files } = this.parts;
    const of = files.mappedBy(area);
    return of !== 0 && files.typeOf(of).pageMkwrite !== undefined;
  }

  /**
   * Asks whether a page, of which the caller has a reference, may become writable: MKWRITE_LOCKED, or a FaultOutcome and the
   * page is not locked.  Linux: do_page_mkwrite, filemap_page_mkwrite.  @may-sleep
   */
  ask(area: VmaRef, pfn: Pfn): number {
    const { files, cache, pageLocks, filePages, shmem } = this.parts;
    const of = files.mappedBy(area);
    pageLocks.lock(pfn);
    reached("page-mkwrite-no-recheck");
    const isThere = cache.inodeOf(pfn) === of && cache.indexOf(pfn) * PAGE_BYTES < shmem.sizeOf(of);
    if (!isThere && !trustsPage) {
      // It was cut off: the access is tried again, and finds what there is now.
      pageLocks.unlock(pfn);
      return DONE;
    }
    if (files.typeOf(of).pageMkwrite?.(of, cache.indexOf(pfn), pfn) !== true) {
      pageLocks.unlock(pfn);
      return SIGBUS;
    }
    filePages.markDirty(pfn);
    return MKWRITE_LOCKED;
  }

  /**
   * A write to a shared mapping of a page that is there without the right to write; the caller's reference is dropped.
   * Linux: wp_page_shared, finish_mkwrite_fault.
   */
  makeWritable({ mm, area, address }: Fault, pfn: Pfn, seen: number): number {
    const { tables } = this;
    const { pages, shootdown, shmem } = this.parts;
    const asked = this.ask(area, pfn);
    if (asked !== MKWRITE_LOCKED) {
      pages.putPage(pfn);
      return asked;
    }
    const pmd = tables.pmdOffset(contextOf(mm), address);
    const at = pmd === 0 ? 0 : tables.pteOffsetMapLock(pmd, address);
    if (at !== 0) {
      if (((tables.pte.get(at) ^ seen) & ~ACCESSED) === 0) {
        tables.pte.change(at, 0, RW | DIRTY | ACCESSED);
        pages.vmstat.countEvents(VmEvent.pgreuse, 1);
      }
      shootdown.flushPageHere(address);
      tables.pteUnlock(at);
    }
    shmem.release(pfn);
    return DONE;
  }

  /** Writes a file's dirty pages through its type, and makes them clean; how many.  Linux: write_cache_pages.  @may-sleep */
  clean(of: InodeRef, first = 0, last = LAST_PAGE): number {
    const { cache, pageLocks, pages, shmem, files } = this.parts;
    const type = files.typeOf(of);
    if (type.writePage === undefined) return 0;
    let written = 0;
    cache.each(of, first, last, (index) => {
      const pfn = cache.find(of, index);
      if (pfn === 0) return;
      pageLocks.lock(pfn);
      if (cache.inodeOf(pfn) === of && this.clearDirty(of, index, pfn)) {
        type.writePage?.(of, index, pfn);
        const { frames, vmstat } = pages;
        vmstat.modNode(frames.nodeAt(frames.nodeOf(frames.pageOf(pfn))), NodeStat.nr_written, 1);
        written++;
      }
      shmem.release(pfn);
    });
    return written;
  }

  /** Linux: folio_clear_dirty_for_io.  @holds page lock */
  private clearDirty(of: InodeRef, index: number, pfn: Pfn): boolean {
    const { files, filePages } = this.parts;
    if (!filePages.isDirty(pfn)) return false;
    files.eachMapping(of, index, index, (area) => {
      if ((this.memory.read(area + vma.flags) & VmFlag.SHARED) !== 0) this.protectEntry(area, index, pfn);
    });
    return filePages.clearDirty(pfn);
  }

  /** Linux: page_vma_mkclean_one. */
  private protectEntry(area: VmaRef, index: number, pfn: Pfn): void {
    const { memory, tables } = this;
    const pageInArea = index - memory.readFloat64(area + vma.pgoff);
    const address = memory.readFloat64(area + vma.start) + pageInArea * PAGE_BYTES;
    const context = contextOf(memory.read(area + vma.mm));
    const pmd = tables.pmdOffset(context, address);
    const at = pmd === 0 ? 0 : tables.pteOffsetMapLock(pmd, address);
    if (at === 0) return;
    const low = tables.pte.get(at);
    if ((low & PRESENT) !== 0 && tables.pte.pfnOf(low) === pfn && (low & (RW | DIRTY)) !== 0) {
      const { high } = tables.pte;
      // First no entry, then a flush: what a TLB lets through before that is in the page when it is written.
      const last = tables.pte.take(at);
      reached("mkclean-no-flush");
      if (!cleansUnflushed) this.parts.shootdown.flushPage(context, address);
      tables.pte.set(at, last & ~(RW | DIRTY), high);
    }
    tables.pteUnlock(at);
  }
}
