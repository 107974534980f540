/**
 * Memory files: what they contain, made as it is touched, cut off and punched.
 *
 * A page comes into a file, and out of it, while it is locked.  Truncation sets the size first, then unmaps, then takes page
 * by page, each locked; a fault maps a page while it holds that lock and has seen that the page still is the file's.  So a
 * page that was taken is in no page table, and a private copy that was made meanwhile goes when all is unmapped again.
 *
 * Linux: mm/shmem.c shmem_get_folio_gfp, shmem_undo_range, shmem_setattr, shmem_fallocate, shmem_file_read_iter,
 * shmem_write_begin, shmem_acct_size; mm/memory.c unmap_mapping_pages.  Differs: no swap, no huge pages, no quota.
 */

import { bug } from "../memory/bug.ts";
import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn, physOf } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import { Page } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import type { WaitQueues } from "../sync/wait-queue.ts";
import type { Accounting } from "./accounting.ts";
import { FileMode, type FileRef, Inode, type InodeRef } from "./file-layout.ts";
import type { FilePages } from "./file-pages.ts";
import type { Files } from "./files.ts";
import type { MappedFile, SharedMemoryFiles } from "./mmap.ts";
import type { PageCache } from "./page-cache.ts";
import type { PageLocks } from "./page-lock.ts";
import { VmArea, type VmaRef } from "./vm-area.ts";

const inode = Inode;
const vma = VmArea;
/** Linux: MAX_LFS_FILESIZE. */
const MAX_BYTES = 2 ** 63;
const LAST_PAGE = 2 ** 52;
/** A page that was found is the file's still when it is locked, so a fault believes. */
const trustsFound = mutant("file-fault-no-recheck");

/** A locked page with a reference of the caller's, or a negated errno: -EINVAL past the end of the file, or -ENOMEM. */
export type LockedPage = number;

/** Takes the entries of [start, end) of a VMA: those of the file's pages only, or private copies, too. */
export type PageUnmapper = (area: VmaRef, start: number, end: number, evenCows: boolean) => void;

export interface ShmemParts {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly locks: SpinLocks;
  readonly rwsems: RwSemaphores;
  readonly waitQueues: WaitQueues;
  readonly accounting: Accounting;
  readonly files: Files;
  readonly cache: PageCache;
  readonly pageLocks: PageLocks;
  readonly filePages: FilePages;
  readonly unmap: PageUnmapper;
}

export class Shmem implements SharedMemoryFiles {
  declare private readonly parts: ShmemParts;
  declare private readonly memory: Memory;

  constructor(parts: ShmemParts) {
    this.parts = parts;
    this.memory = parts.memory;
  }

  // ---- files ----

  /** An empty file of a type that can be read and written, with one reference; or 0.  Linux: memfd_create. */
  create(type = 0): FileRef {
    return this.openNew(0, 0, true, type);
  }

  /** The file of a shared anonymous mapping: all of it is committed at once, unless that is not wanted. */
  make(bytes: number, isNoReserve: boolean): MappedFile | null {
    const pages = isNoReserve ? 0 : Math.ceil(bytes / PAGE_BYTES);
    if (!this.parts.accounting.commit(0, pages)) return null;
    const at = this.openNew(bytes, pages, isNoReserve);
    if (at !== 0) {
      this.memory.write(this.parts.files.inodeOf(at) + inode.isAnonymous, 1);
      return this.parts.files.describe(at);
    }
    this.parts.accounting.uncommit(pages);
    return null;
  }

  put({ file }: MappedFile): void {
    this.parts.files.put(file);
  }

  /** Bytes. */
  sizeOf(at: InodeRef): number {
    return this.memory.readFloat64(at + inode.size);
  }

  /** Pages of a file that has lost its last user.  Linux: shmem_evict_inode. */
  evict(at: InodeRef): void {
    this.truncateRange(at, 0, MAX_BYTES);
    this.parts.accounting.uncommit(this.memory.readFloat64(at + inode.committed));
  }

  // ---- pages ----

  /**
   * The page at `index`, locked, made if it is a hole.  `isWrite`: write() may be about to let the file grow, so its size
   * does not matter.  Linux: shmem_get_folio_gfp with SGP_CACHE or SGP_WRITE.  @may-sleep
   */
  getPage(at: InodeRef, index: number, isWrite: boolean): LockedPage {
    const { cache, pageLocks, pages } = this.parts;
    for (;;) {
      if (!isWrite && this.isBeyond(at, index)) return -Errno.EINVAL;
      const found = cache.find(at, index);
      if (found === 0) {
        const made = this.makePage(at, index);
        if (made === -Errno.EEXIST) continue;
        // The file may have been cut off since.
        if (made > 0 && !isWrite && this.isBeyond(at, index)) {
          this.takePage(at, made);
          return -Errno.EINVAL;
        }
        return made;
      }
      pageLocks.lock(found);
      reached("file-fault-no-recheck");
      if (trustsFound || cache.inodeOf(found) === at) return found;
      pageLocks.unlock(found);
      pages.putPage(found);
    }
  }

  /** A new page at `index`, locked, with what the file's type reads there; -EEXIST if another was faster; -EIO. */
  makePage(at: InodeRef, index: number): LockedPage {
    const type = this.parts.files.typeOf(at);
    const fresh = this.addPage(at, index);
    if (fresh < 0 || type.readPage === undefined || type.readPage(at, index, fresh)) return fresh;
    this.takePage(at, fresh);
    return -Errno.EIO;
  }

  /** Gives a page back that `getPage` has returned, but for what the caller has done with its reference. */
  release(pfn: Pfn, keepsReference = false): void {
    this.parts.pageLocks.unlock(pfn);
    if (!keepsReference) this.parts.pages.putPage(pfn);
  }

  // ---- what programs do with files ----

  /** Bytes of the file from `offset`: fewer at its end.  Linux: shmem_file_read_iter. */
  read(file: FileRef, offset: number, bytes: number): number[] {
    const { memory, parts } = this;
    const at = parts.files.inodeOf(file);
    const result: number[] = [];
    const end = Math.min(offset + bytes, this.sizeOf(at));
    for (let from = offset; from < end; ) {
      const to = Math.min(end, (Math.floor(from / PAGE_BYTES) + 1) * PAGE_BYTES);
      const found = this.findPage(at, Math.floor(from / PAGE_BYTES));
      if (found < 0) break;
      const base = physOf(frameOf(found)) + (from % PAGE_BYTES);
      for (let i = 0; i < to - from; i++) result.push(found === 0 ? 0 : memory.loadByte(base + i));
      if (found !== 0) parts.pages.putPage(found);
      from = to;
    }
    return result;
  }

  /** Bytes written, or a negated errno.  Linux: shmem_file_write_iter, generic_perform_write.  @may-sleep */
  write(file: FileRef, offset: number, bytes: readonly number[]): number {
    const { memory, parts } = this;
    if (!parts.files.isWritable(file)) return -Errno.EBADF;
    const at = parts.files.inodeOf(file);
    parts.rwsems.writeLock(at + inode.sem);
    let done = 0;
    let error = 0;
    while (done < bytes.length && error === 0) {
      const from = offset + done;
      const room = Math.min(bytes.length - done, PAGE_BYTES - (from % PAGE_BYTES));
      const pfn = this.getPage(at, Math.floor(from / PAGE_BYTES), true);
      if (pfn < 0) {
        error = pfn;
        break;
      }
      const base = physOf(frameOf(pfn)) + (from % PAGE_BYTES);
      for (let i = 0; i < room; i++) memory.storeByte(base + i, bytes[done + i]);
      done += room;
      if (offset + done > this.sizeOf(at)) memory.writeFloat64(at + inode.size, offset + done);
      parts.filePages.markDirty(pfn);
      this.release(pfn);
    }
    parts.rwsems.writeUnlock(at + inode.sem);
    return done > 0 ? done : error;
  }

  /** Gives the file another size: 0 or a negated errno.  Linux: do_ftruncate, shmem_setattr.  @may-sleep */
  truncate(file: FileRef, bytes: number): number {
    const { memory, parts } = this;
    if (bytes < 0 || !parts.files.isWritable(file)) return -Errno.EINVAL;
    if (bytes >= MAX_BYTES) return -Errno.EFBIG;
    const at = parts.files.inodeOf(file);
    parts.rwsems.writeLock(at + inode.sem);
    const old = this.sizeOf(at);
    memory.writeFloat64(at + inode.size, bytes);
    if (bytes < old) {
      const hole = Math.ceil(bytes / PAGE_BYTES);
      if (old > hole * PAGE_BYTES) this.unmapPages(at, hole, LAST_PAGE, true);
      this.truncateRange(at, bytes, MAX_BYTES);
      // Private copies that faults have made of pages before these were taken.
      if (old > hole * PAGE_BYTES) this.unmapPages(at, hole, LAST_PAGE, true);
    }
    parts.rwsems.writeUnlock(at + inode.sem);
    return 0;
  }

  /** A hole in the file, whose size stays: 0 or a negated errno.  Linux: vfs_fallocate, shmem_fallocate.  @may-sleep */
  punchHole(file: FileRef, offset: number, bytes: number): number {
    const { parts } = this;
    if (offset < 0 || bytes <= 0) return -Errno.EINVAL;
    if (!parts.files.isWritable(file)) return -Errno.EBADF;
    if (offset + bytes >= MAX_BYTES) return -Errno.EFBIG;
    const at = parts.files.inodeOf(file);
    parts.rwsems.writeLock(at + inode.sem);
    const first = Math.ceil(offset / PAGE_BYTES);
    const end = Math.floor((offset + bytes) / PAGE_BYTES);
    this.beginPunching(at, first, end);
    // Private copies stay: only the file has a hole.
    if (end > first) this.unmapPages(at, first, end - 1, false);
    this.truncateRange(at, offset, offset + bytes);
    this.endPunching(at);
    parts.rwsems.writeUnlock(at + inode.sem);
    return 0;
  }

  // ---- parts ----

  /** From here on faults in the pages [first, end) wait until the end.  @holds i_rwsem */
  private beginPunching(at: InodeRef, first: number, end: number): void {
    const { memory } = this;
    const { locks } = this.parts;
    locks.lock(at + inode.xaLock);
    memory.writeFloat64(at + inode.punchFirst, first);
    memory.writeFloat64(at + inode.punchEnd, end);
    locks.unlock(at + inode.xaLock);
    memory.add(at + inode.punchSequence, 1);
  }

  private endPunching(at: InodeRef): void {
    this.memory.add(at + inode.punchSequence, 1);
    this.parts.waitQueues.wakeAll(at + inode.punchWait);
  }

  private openNew(bytes: number, committed: number, isNoReserve: boolean, type = 0): FileRef {
    const { files } = this.parts;
    const at = files.makeInode(bytes, committed, isNoReserve, type);
    if (at === 0) return 0;
    const file = files.open(at, FileMode.READ | FileMode.WRITE);
    if (file === 0) {
      // `drop` gives back what was committed; the caller does so, too.
      this.memory.writeFloat64(at + inode.committed, 0);
      files.drop(at);
    }
    return file;
  }

  /** The page at `index` with a reference; 0 for a hole; or -EIO, -ENOMEM. */
  private findPage(at: InodeRef, index: number): number {
    const found = this.parts.cache.find(at, index);
    if (found !== 0 || this.parts.files.typeOf(at).readPage === undefined) return found;
    const made = this.getPage(at, index, false);
    if (made > 0) this.parts.pageLocks.unlock(made);
    return made;
  }

  private isBeyond(at: InodeRef, index: number): boolean {
    return index * PAGE_BYTES >= this.sizeOf(at);
  }

  /** A new page of zeros at `index`, locked; -EEXIST if another was faster.  Linux: shmem_alloc_and_add_folio. */
  private addPage(at: InodeRef, index: number): LockedPage {
    const { pages, pageLocks, cache } = this.parts;
    if (!this.charge(at, 1)) return -Errno.ENOSPC;
    const pfn = pages.allocPage(Gfp.HIGHUSER_MOVABLE | GfpFlag.ZERO);
    if (pfn === 0) {
      this.charge(at, -1);
      return -Errno.ENOMEM;
    }
    if (!pageLocks.tryLock(pfn)) bug(`the new frame ${pfn} is locked`);
    this.memory.or(pages.frames.pageOf(pfn) + Page.flags, PageFlag.SWAPBACKED);
    const error = cache.add(at, index, pfn);
    if (error === 0) return pfn;
    this.charge(at, -1);
    this.release(pfn);
    return error;
  }

  /** Takes a locked page out of the file, releases it and drops the caller's reference.  Linux: truncate_inode_folio. */
  takePage(at: InodeRef, pfn: Pfn): void {
    const { cache, pages, pageLocks, filePages, files } = this.parts;
    if (filePages.isMapped(pfn)) this.unmapPages(at, cache.indexOf(pfn), cache.indexOf(pfn), false);
    if (files.typeOf(at).writePage !== undefined) filePages.clearDirty(pfn);
    cache.remove(at, pfn);
    this.charge(at, -1);
    pageLocks.unlock(pfn);
    pages.putPage(pfn);
    pages.putPage(pfn);
  }

  /** Pages are taken, partial ones zeroed, from byte `start` to `end`.  Linux: shmem_undo_range. */
  private truncateRange(at: InodeRef, start: number, end: number): void {
    const [first, last] = [Math.ceil(start / PAGE_BYTES), Math.floor(end / PAGE_BYTES) - 1];
    const from = start % PAGE_BYTES;
    const below = Math.floor(start / PAGE_BYTES);
    if (from !== 0) {
      const isSame = below === Math.floor(end / PAGE_BYTES);
      this.zero(at, below, from, isSame ? end % PAGE_BYTES : PAGE_BYTES);
    }
    if (end % PAGE_BYTES !== 0 && (from === 0 || below !== last + 1))
      this.zero(at, last + 1, 0, end % PAGE_BYTES);
    if (last < first) return;
    const { cache, pages, pageLocks } = this.parts;
    cache.each(at, first, last, (index) => {
      const pfn = cache.find(at, index);
      if (pfn === 0) return;
      pageLocks.lock(pfn);
      if (cache.inodeOf(pfn) === at) this.takePage(at, pfn);
      else {
        pageLocks.unlock(pfn);
        pages.putPage(pfn);
      }
    });
  }

  /** Linux: truncate_inode_partial_folio. */
  private zero(at: InodeRef, index: number, from: number, to: number): void {
    const { memory } = this;
    const { cache, pageLocks, pages, filePages } = this.parts;
    const pfn = cache.find(at, index);
    if (pfn === 0) return;
    pageLocks.lock(pfn);
    if (cache.inodeOf(pfn) === at) {
      const base = physOf(frameOf(pfn));
      if (from === 0 && to === PAGE_BYTES) memory.fill(frameOf(pfn), FRAME_WORDS, 0);
      else for (let i = from; i < to; i++) memory.storeByte(base + i, 0);
      filePages.markDirty(pfn);
    }
    pageLocks.unlock(pfn);
    pages.putPage(pfn);
  }

  /** Linux: unmap_mapping_pages. */
  private unmapPages(at: InodeRef, first: number, last: number, evenCows: boolean): void {
    const { memory } = this;
    const { files, unmap } = this.parts;
    files.eachMapping(at, first, last, (area) => {
      const start = memory.readFloat64(area + vma.start);
      const pgoff = memory.readFloat64(area + vma.pgoff);
      const end = memory.readFloat64(area + vma.end);
      const from = start + Math.max(0, first - pgoff) * PAGE_BYTES;
      unmap(area, from, Math.min(end, start + (last + 1 - pgoff) * PAGE_BYTES), evenCows);
    });
  }

  /** Linux: shmem_inode_acct_blocks, shmem_acct_blocks. */
  private charge(at: InodeRef, pages: number): boolean {
    const { accounting } = this.parts;
    if (this.memory.read(at + inode.isNoReserve) === 0) return true;
    if (pages > 0) return accounting.commit(0, pages);
    accounting.uncommit(-pages);
    return true;
  }
}
