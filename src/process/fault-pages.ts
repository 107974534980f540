/**
 * The page of a file that a fault asks for, locked; and what may have to be waited for until it is had.
 *
 *   a hole that is being punched      until the end of that: else the punching might never end
 *   another's lock of the page        where the file type reads pages in
 *   the page to be read in            likewise
 *
 * Who waits gives the fault's lock up first, of the VMA or mmap_lock, if the fault still may (once): then the VMA may be gone,
 * and the fault begins anew.
 *
 * Linux: mm/filemap.c filemap_fault, lock_folio_maybe_drop_mmap; mm/internal.h maybe_unlock_mmap_for_io; mm/shmem.c shmem_fault,
 * shmem_falloc_wait.  Differs: nothing is read ahead; a wait is not ended by a signal.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { VmEvent } from "../mm/pages/counters.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import type { WaitQueues } from "../sync/wait-queue.ts";
import { pageIndex } from "./anon-pages.ts";
import { type Fault, FaultFlag, FaultOutcome } from "./fault.ts";
import { Inode, type InodeRef } from "./file-layout.ts";
import type { Files } from "./files.ts";
import type { PageCache } from "./page-cache.ts";
import type { PageLocks } from "./page-lock.ts";
import type { Shmem } from "./shmem.ts";
import { VmArea } from "./vm-area.ts";
import type { MmapLocks } from "./vma-lock.ts";

const inode = Inode;
const { DONE, RETRY, OOM, SIGBUS, MAJOR } = FaultOutcome;
const { ALLOW_RETRY, NOWAIT, TRIED } = FaultFlag;
/** A fault waits for a page with its lock held. */
const keepsLock = mutant("fault-wait-keeps-lock");
/** Faults bring pages into a hole while it is punched. */
const ignoresPunching = mutant("punch-hole-no-wait");

/** A locked page with a reference, or a FaultOutcome, negated. */
export type BroughtPage = number;

export interface FaultPageParts {
  readonly memory: Memory;
  readonly locks: SpinLocks;
  readonly waitQueues: WaitQueues;
  readonly pages: PageAllocator;
  readonly mmapLocks: MmapLocks;
  readonly files: Files;
  readonly cache: PageCache;
  readonly pageLocks: PageLocks;
  readonly shmem: Shmem;
}

export class FaultPages {
  declare private readonly parts: FaultPageParts;
  declare private readonly memory: Memory;
  /** MAJOR if the last page that was brought had to be read, else 0. */
  private readIn = 0;

  constructor(parts: FaultPageParts) {
    this.parts = parts;
    this.memory = parts.memory;
  }

  /** The outcome of a fault that has mapped the page that was brought just now. */
  get done(): number {
    return DONE | this.readIn;
  }

  /** @may-sleep */
  bring(fault: Fault): BroughtPage {
    const { files, shmem } = this.parts;
    const at = files.mappedBy(fault.area);
    const index = pageIndex(this.memory, fault.area, fault.address);
    this.readIn = 0;
    reached("punch-hole-no-wait");
    const sequence = this.memory.load(at + inode.punchSequence);
    if ((sequence & 1) !== 0 && !ignoresPunching && this.isPunched(at, index))
      return this.waitForHole(fault, at, sequence);
    if (files.typeOf(at).readPage !== undefined) return this.read(fault, at, index);
    const page = shmem.getPage(at, index, false);
    return page > 0 ? page : -outcomeOf(page);
  }

  /** Linux: filemap_fault. */
  private read(fault: Fault, at: InodeRef, index: number): BroughtPage {
    const { memory } = this;
    const { cache, pageLocks, shmem, files, pages } = this.parts;
    const file = memory.read(fault.area + VmArea.file);
    let isDropped = false;
    const drop = (): void => {
      reached("fault-wait-keeps-lock");
      if (isDropped || keepsLock || !mayGiveUp(fault)) return;
      files.get(file);
      this.parts.mmapLocks.giveUp(fault);
      isDropped = true;
    };
    let result: number;
    for (;;) {
      result = cache.find(at, index);
      if (result === 0) {
        if (this.readIn === 0) pages.vmstat.countEvents(VmEvent.pgmajfault, 1);
        this.readIn = MAJOR;
        drop();
        result = shmem.makePage(at, index);
        if (result === -Errno.EEXIST) continue;
        if (result < 0) result = -outcomeOf(result);
        break;
      }
      if (!pageLocks.tryLock(result)) {
        if ((fault.flags & NOWAIT) !== 0) {
          pages.putPage(result);
          return -RETRY;
        }
        drop();
        pageLocks.lock(result);
      }
      if (cache.inodeOf(result) === at) break;
      shmem.release(result);
    }
    if (result > 0 && index * PAGE_BYTES >= shmem.sizeOf(at)) {
      shmem.release(result);
      result = -SIGBUS;
    }
    if (!isDropped) return result;
    if (result > 0) shmem.release(result);
    files.put(file);
    return -(RETRY | this.readIn);
  }

  private isPunched(at: InodeRef, index: number): boolean {
    const { memory } = this;
    const { locks } = this.parts;
    locks.lock(at + inode.xaLock);
    const isWithin =
      memory.readFloat64(at + inode.punchFirst) <= index && index < memory.readFloat64(at + inode.punchEnd);
    locks.unlock(at + inode.xaLock);
    return isWithin;
  }

  /** Linux: shmem_falloc_wait. */
  private waitForHole(fault: Fault, at: InodeRef, sequence: number): BroughtPage {
    const { memory } = this;
    const { files, mmapLocks, waitQueues } = this.parts;
    if ((fault.flags & NOWAIT) !== 0) return -RETRY;
    const file = memory.read(fault.area + VmArea.file);
    const isDropped = mayGiveUp(fault);
    if (isDropped) {
      files.get(file);
      mmapLocks.giveUp(fault);
    }
    waitQueues.waitEvent(at + inode.punchWait, () => memory.load(at + inode.punchSequence) !== sequence);
    if (!isDropped) return -DONE;
    files.put(file);
    return -RETRY;
  }
}

/** Linux: vmf_error. */
const outcomeOf = (error: number): number => (error === -Errno.ENOMEM ? OOM : SIGBUS);

/** Linux: fault_flag_allow_retry_first, without FAULT_FLAG_RETRY_NOWAIT. */
const mayGiveUp = ({ flags }: Fault): boolean => (flags & (ALLOW_RETRY | NOWAIT | TRIED)) === ALLOW_RETRY;
