/**
 * Advice on a range.  Linux: mm/madvise.c.
 *
 * Advice that changes VMAs holds mmap_lock for writing, other advice for reading.  Holes are passed over and make the result
 * -ENOMEM; an error in a VMA ends the walk.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { pageAlign, wrappedEnd } from "./page-align.ts";
import type { PageOps } from "./page-ops.ts";
import { type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VM_SPECIAL, VmFlag } from "./vm-flags.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const vma = VmArea;
const f = VmFlag;

/** Linux: include/uapi/asm-generic/mman-common.h. */
export const Madvice = {
  NORMAL: 0,
  RANDOM: 1,
  SEQUENTIAL: 2,
  WILLNEED: 3,
  DONTNEED: 4,
  FREE: 8,
  REMOVE: 9,
  DONTFORK: 10,
  DOFORK: 11,
  HUGEPAGE: 14,
  NOHUGEPAGE: 15,
  DONTDUMP: 16,
  DODUMP: 17,
  WIPEONFORK: 18,
  KEEPONFORK: 19,
  COLD: 20,
  PAGEOUT: 21,
  POPULATE_READ: 22,
  POPULATE_WRITE: 23,
  DONTNEED_LOCKED: 24,
  COLLAPSE: 25,
} as const;
const a = Madvice;
/** COLLAPSE needs huge pages. */
const KNOWN = new Set<number>(Object.values(a).filter((advice) => advice !== a.COLLAPSE));
const CHANGES_FLAGS = new Set<number>([
  a.NORMAL,
  a.RANDOM,
  a.SEQUENTIAL,
  a.DONTFORK,
  a.DOFORK,
  a.HUGEPAGE,
  a.NOHUGEPAGE,
  a.DONTDUMP,
  a.DODUMP,
  a.WIPEONFORK,
  a.KEEPONFORK,
]);

export interface MadviseParts {
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly pageOps: PageOps;
}

export class Madvise {
  declare private readonly memory: Memory;
  declare private readonly vmas: Vmas;
  declare private readonly merge: VmaMerge;
  declare private readonly pageOps: PageOps;

  constructor(parts: MadviseParts) {
    this.memory = parts.vmas.memory;
    this.vmas = parts.vmas;
    this.merge = parts.merge;
    this.pageOps = parts.pageOps;
  }

  /** The system call: 0 or a negated errno.  @may-sleep */
  madvise(at: MmRef, start: number, bytes: number, advice: number): number {
    const { locks } = this.vmas;
    const length = pageAlign(bytes);
    if (!KNOWN.has(advice) || start % PAGE_BYTES !== 0 || (bytes !== 0 && length === 0)) return -Errno.EINVAL;
    const end = wrappedEnd(start, length);
    if (end < start) return -Errno.EINVAL;
    if (end === start) return 0;
    const isWriter = CHANGES_FLAGS.has(advice);
    if (isWriter) locks.writeLock(at);
    else locks.readLock(at);
    const isPopulate = advice === a.POPULATE_READ || advice === a.POPULATE_WRITE;
    const result = isPopulate
      ? this.populate(at, start, end, advice === a.POPULATE_WRITE)
      : this.walk(at, start, end, advice);
    if (isWriter) locks.writeUnlock(at);
    else locks.readUnlock(at);
    return result;
  }

  /** Linux: madvise_walk_vmas. */
  private walk(at: MmRef, start: number, end: number, advice: number): number {
    const { vmas } = this;
    let unmapped = 0;
    for (let from = start; from < end; ) {
      const area = vmas.find(at, from);
      if (area === 0) return -Errno.ENOMEM;
      if (from < vmas.startOf(area)) {
        unmapped = -Errno.ENOMEM;
        from = vmas.startOf(area);
        if (from >= end) break;
      }
      const to = Math.min(vmas.endOf(area), end);
      const error = CHANGES_FLAGS.has(advice)
        ? this.changeFlags(at, area, from, to, advice)
        : this.actOn(at, area, from, to, advice);
      if (error !== 0) return error;
      from = to;
    }
    return unmapped;
  }

  /** Linux: madvise_vma_behavior, madvise_update_vma.  @holds mmap_lock */
  private changeFlags(at: MmRef, area: VmaRef, start: number, end: number, advice: number): number {
    const { memory, vmas } = this;
    const old = vmas.flagsOf(area);
    const flags = this.newFlags(area, old, advice);
    if (flags === null) return -Errno.EINVAL;
    if (flags === old) return 0;
    const own = this.merge.modify(at, area, start, end, flags);
    // That the kernel has no memory is told as "try again": -ENOMEM means a hole.
    if (own < 0) return own === -Errno.ENOMEM ? -Errno.EAGAIN : own;
    vmas.locks.startWrite(own);
    memory.write(own + vma.flags, flags);
    return 0;
  }

  /** Null when the VMA cannot have them. */
  private newFlags(area: VmaRef, old: number, advice: number): number | null {
    const isFileOrShared = this.memory.read(area + vma.file) !== 0 || (old & f.SHARED) !== 0;
    switch (advice) {
      case a.NORMAL:
        return old & ~(f.RAND_READ | f.SEQ_READ);
      case a.SEQUENTIAL:
        return (old & ~f.RAND_READ) | f.SEQ_READ;
      case a.RANDOM:
        return (old & ~f.SEQ_READ) | f.RAND_READ;
      case a.DONTFORK:
        return old | f.DONTCOPY;
      case a.DOFORK:
        return (old & f.IO) !== 0 ? null : old & ~f.DONTCOPY;
      case a.WIPEONFORK:
        return isFileOrShared ? null : old | f.WIPEONFORK;
      case a.KEEPONFORK:
        return old & ~f.WIPEONFORK;
      case a.DONTDUMP:
        return old | f.DONTDUMP;
      case a.DODUMP:
        return (old & f.HUGETLB) === 0 && (old & VM_SPECIAL) !== 0 ? null : old & ~f.DONTDUMP;
      case a.HUGEPAGE:
        return (old & ~f.NOHUGEPAGE) | f.HUGEPAGE;
      default:
        return (old & ~f.HUGEPAGE) | f.NOHUGEPAGE;
    }
  }

  private actOn(at: MmRef, area: VmaRef, start: number, end: number, advice: number): number {
    const { pageOps, memory } = this;
    const flags = this.vmas.flagsOf(area);
    const forbidden = (mask: number): boolean => (flags & mask) !== 0;
    switch (advice) {
      case a.DONTNEED:
        if (forbidden(f.LOCKED | f.PFNMAP)) return -Errno.EINVAL;
        pageOps.zap(at, area, start, end);
        return 0;
      case a.DONTNEED_LOCKED:
        if (forbidden(f.PFNMAP)) return -Errno.EINVAL;
        pageOps.zap(at, area, start, end);
        return 0;
      case a.FREE:
        if (forbidden(f.LOCKED | f.PFNMAP) || memory.read(area + vma.ops) !== 0) return -Errno.EINVAL;
        pageOps.freeLazily(at, area, start, end);
        return 0;
      case a.COLD:
      case a.PAGEOUT:
        if (forbidden(f.LOCKED | f.PFNMAP | f.HUGETLB)) return -Errno.EINVAL;
        pageOps.age(at, area, start, end);
        return 0;
      case a.REMOVE:
        if (forbidden(f.LOCKED) || memory.read(area + vma.file) === 0) return -Errno.EINVAL;
        if ((flags & (f.SHARED | f.MAYWRITE)) !== (f.SHARED | f.MAYWRITE)) return -Errno.EACCES;
        return pageOps.punch(at, area, start, end);
      default:
        return 0; // WILLNEED: what these files and this memory have is in memory
    }
  }

  /** Linux: madvise_populate.  mmap_lock is held for reading. */
  private populate(at: MmRef, start: number, end: number, isWrite: boolean): number {
    const { vmas, pageOps } = this;
    for (let from = start; from < end; ) {
      const area = vmas.lookup(at, from);
      if (area === 0) return -Errno.ENOMEM;
      const flags = vmas.flagsOf(area);
      if ((flags & (f.IO | f.PFNMAP)) !== 0 || (flags & (isWrite ? f.WRITE : f.READ)) === 0)
        return -Errno.EINVAL;
      const done = pageOps.populate(at, area, { start: from, end: Math.min(end, vmas.endOf(area)), isWrite });
      if (done < 0) return done;
      from += done * PAGE_BYTES;
    }
    return 0;
  }
}
