/**
 * Mapping memory.
 *
 * Linux: mm/mmap.c do_mmap, ksys_mmap_pgoff; mm/vma.c mmap_region.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import type { Accounting } from "./accounting.ts";
import { Overcommit } from "./accounting.ts";
import type { Munmap, Unmapping } from "./munmap.ts";
import { pageAlign, pageFloor } from "./page-align.ts";
import type { UnmappedAreas } from "./unmapped-area.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "./vm-area.ts";
import { Prot, VM_SPECIAL, VmFlag } from "./vm-flags.ts";
import { Capability } from "./vm-settings.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
const vma = VmArea;
const f = VmFlag;

/** Linux: include/uapi/asm-generic/mman-common.h. */
export const MapFlag = {
  SHARED: 1,
  PRIVATE: 2,
  SHARED_VALIDATE: 3,
  TYPE: 0xf,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  GROWSDOWN: 0x100,
  LOCKED: 0x2000,
  NORESERVE: 0x4000,
  POPULATE: 0x8000,
  NONBLOCK: 0x10000,
  STACK: 0x20000,
  FIXED_NOREPLACE: 0x100000,
} as const;
const m = MapFlag;
/** What MAP_SHARED silently accepts.  Linux: LEGACY_MAP_MASK. */
const LEGACY =
  m.SHARED |
  m.PRIVATE |
  m.FIXED |
  m.ANONYMOUS |
  m.GROWSDOWN |
  m.LOCKED |
  m.NORESERVE |
  m.POPULATE |
  m.NONBLOCK |
  m.STACK |
  // DENYWRITE, EXECUTABLE, HUGETLB, 32BIT, ABOVE4G, UNINITIALIZED
  0x800 |
  0x1000 |
  0x40000 |
  0x40 |
  0x80 |
  0x4000000;

/** A file as mmap sees it. */
export interface MappedFile {
  readonly file: Pointer;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
  readonly ops: number;
}

export interface MmapRequest {
  /** 0 is no hint. */
  readonly address: number;
  readonly bytes: number;
  readonly prot: number;
  readonly flags: number;
  /** Null for anonymous memory. */
  readonly file: MappedFile | null;
  readonly offset: number;
}

/** Files for shared anonymous memory.  Linux: shmem_zero_setup, shmem_kernel_file_setup. */
export interface SharedMemoryFiles {
  /** A file of zeros with one reference, or null when there is no memory. */
  make(bytes: number, isNoReserve: boolean): MappedFile | null;
  /** Gives the reference of a file that was not mapped back. */
  put(file: MappedFile): void;
}

export interface MmapParts {
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly areas: UnmappedAreas;
  readonly munmap: Munmap;
  readonly accounting: Accounting;
  readonly shared: SharedMemoryFiles;
}

/** An address, or a negated errno; what is to be populated then. */
export interface MmapResult {
  readonly value: number;
  readonly populateBytes: number;
}

/** Linux: MAX_LFS_FILESIZE. */
const MAX_FILE_BYTES = 2 ** 63;

const failed = (errno: number): MmapResult => ({ value: -errno, populateBytes: 0 });

export class Mmap {
  declare private readonly memory: Memory;
  declare private readonly vmas: Vmas;
  declare private readonly merge: VmaMerge;
  declare private readonly areas: UnmappedAreas;
  declare private readonly munmap: Munmap;
  declare private readonly accounting: Accounting;
  declare private readonly shared: SharedMemoryFiles;

  constructor(parts: MmapParts) {
    this.memory = parts.vmas.memory;
    this.vmas = parts.vmas;
    this.merge = parts.merge;
    this.areas = parts.areas;
    this.munmap = parts.munmap;
    this.accounting = parts.accounting;
    this.shared = parts.shared;
  }

  /** The system call but for what it populates.  @may-sleep */
  mmap(at: MmRef, request: MmapRequest): MmapResult {
    if (request.offset % PAGE_BYTES !== 0) return failed(Errno.EINVAL);
    const { locks } = this.vmas;
    locks.writeLock(at);
    const result = this.mapLocked(at, request);
    locks.writeUnlock(at);
    return result;
  }

  /** Linux: do_mmap.  @holds mmap_lock */
  private mapLocked(at: MmRef, request: MmapRequest): MmapResult {
    const { memory, vmas, areas, accounting } = this;
    const { file, prot } = request;
    if (request.bytes === 0) return failed(Errno.EINVAL);
    const flags = request.flags | ((request.flags & m.FIXED_NOREPLACE) === 0 ? 0 : m.FIXED);
    const isFixed = (flags & m.FIXED) !== 0;
    const hint = isFixed ? request.address : roundHint(request.address, areas.minAddress);
    const bytes = pageAlign(request.bytes);
    if (bytes === 0) return failed(Errno.ENOMEM);
    if (request.offset + bytes > 2 ** 64) return failed(Errno.EOVERFLOW);
    if (memory.read(at + mm.mapCount) > vmas.maxMapCount) return failed(Errno.ENOMEM);
    if (file !== null && request.offset + bytes > MAX_FILE_BYTES) return failed(Errno.EOVERFLOW);
    const asked =
      (prot & (f.READ | f.WRITE | f.EXEC)) |
      flagBits(flags) |
      memory.read(at + mm.defFlags) |
      (f.MAYREAD | f.MAYWRITE | f.MAYEXEC);
    const wantsHuge = file === null && (flags & m.TYPE) !== m.SHARED;
    const address = areas.find(at, { hint, bytes, isFixed, wantsHuge });
    if (address < 0) return failed(-address);
    if (address % PAGE_BYTES !== 0) return failed(Errno.EINVAL);
    if (address < areas.minAddress && !accounting.has(at, Capability.SYS_RAWIO)) return failed(Errno.EPERM);
    if ((flags & m.FIXED_NOREPLACE) !== 0 && vmas.overlapping(at, address, address + bytes).length > 0)
      return failed(Errno.EEXIST);
    if ((flags & m.LOCKED) !== 0 && !accounting.mayLockAny(at)) return failed(Errno.EPERM);
    if (!accounting.mayLock(at, asked, bytes / PAGE_BYTES)) return failed(Errno.EAGAIN);
    const typed = file === null ? anonymousFlags(flags, asked) : fileFlags(file, flags, prot, asked);
    if (typed < 0) return failed(-typed);
    const isReserved = (flags & m.NORESERVE) === 0 || accounting.mode === Overcommit.NEVER;
    const vmFlags = isReserved ? typed : typed | f.NORESERVE;
    const pgoff =
      file !== null ? request.offset / PAGE_BYTES : (vmFlags & f.SHARED) !== 0 ? 0 : address / PAGE_BYTES;
    const area = this.region(at, { start: address, end: address + bytes, flags: vmFlags, pgoff, file });
    if (area < 0) return failed(-area);
    const populates = (vmFlags & f.LOCKED) !== 0 || (flags & (m.POPULATE | m.NONBLOCK)) === m.POPULATE;
    return { value: address, populateBytes: populates ? bytes : 0 };
  }

  /** Unmaps what is there, and makes or widens a VMA.  0 or a negated errno.  Linux: mmap_region.  @holds mmap_lock */
  private region(
    at: MmRef,
    range: { start: number; end: number; flags: number; pgoff: number; file: MappedFile | null },
  ): number {
    const { munmap, accounting } = this;
    const { start, end } = range;
    const pages = (end - start) / PAGE_BYTES;
    const old = munmap.gather(at, start, end);
    if (old === null) return -Errno.ENOMEM;
    const isCharged = accounting.isAccountable(range.flags);
    const charged = isCharged ? pages - old.accounted : 0;
    if (!accounting.mayExpand(at, range.flags, pages - old.pages) || !this.charge(at, charged)) {
      this.giveUp(old);
      return -Errno.ENOMEM;
    }
    const flags = isCharged ? range.flags | f.ACCOUNT : range.flags;
    munmap.takeOut(old);
    munmap.complete(isCharged ? { ...old, accounted: 0 } : old);
    const error = this.place(at, { ...range, flags });
    if (error !== 0) {
      if (isCharged) accounting.uncommit(pages);
      return error;
    }
    accounting.count(at, flags, pages);
    return 0;
  }

  /** Merges the range with its neighbours or gives it a VMA; the hole is there already.  @holds mmap_lock */
  private place(
    at: MmRef,
    range: { start: number; end: number; flags: number; pgoff: number; file: MappedFile | null },
  ): number {
    const { memory } = this;
    const { start, end, flags, pgoff } = range;
    const isSharedAnon = range.file === null && (flags & f.SHARED) !== 0;
    const file = isSharedAnon ? this.shared.make(end - start, (flags & f.NORESERVE) !== 0) : range.file;
    if (isSharedAnon && file === null) return -Errno.ENOMEM;
    const like = { file: file?.file ?? 0, ops: file?.ops ?? 0, policy: 0 };
    const merged = isSharedAnon
      ? 0
      : this.merge.merge(at, { start, end, flags, pgoff, ...like, anonVma: 0, middle: 0 });
    if (merged < 0) return merged;
    const area = merged > 0 ? merged : this.makeArea(at, { start, end, flags, pgoff, ...like });
    // The VMA has a reference of its own, if there is one.
    if (isSharedAnon && file !== null) this.shared.put(file);
    if (area === 0) return -Errno.ENOMEM;
    this.countLocked(at, area, (end - start) / PAGE_BYTES);
    memory.write(area + vma.flags, memory.read(area + vma.flags) | f.SOFTDIRTY);
    return 0;
  }

  private makeArea(
    at: MmRef,
    options: { start: number; end: number; flags: number; pgoff: number; file: Pointer; ops: number },
  ): VmaRef {
    const { vmas } = this;
    const area = vmas.make(at, options);
    if (area === 0) return 0;
    vmas.opened(area);
    if (vmas.link(at, area) === 0) return area;
    vmas.closed(area);
    vmas.free(area);
    return 0;
  }

  private countLocked(at: MmRef, area: VmaRef, pages: number): void {
    const { memory } = this;
    const flags = memory.read(area + vma.flags);
    if ((flags & f.LOCKED) === 0) return;
    if ((flags & VM_SPECIAL) !== 0) memory.write(area + vma.flags, flags & ~(f.LOCKED | f.LOCKONFAULT));
    else memory.writeFloat64(at + mm.lockedVm, memory.readFloat64(at + mm.lockedVm) + pages);
  }

  private charge(at: MmRef, pages: number): boolean {
    if (pages < 0) this.accounting.uncommit(-pages);
    return pages <= 0 || this.accounting.commit(at, pages);
  }

  /** The VMAs stay cut, as in Linux: the next change may merge them again. */
  private giveUp(old: Unmapping): void {
    this.vmas.trees.abandon(old.reserved);
  }
}

/** Linux: round_hint_to_min. */
function roundHint(address: number, minAddress: number): number {
  const hint = pageFloor(address);
  return hint !== 0 && hint < minAddress ? minAddress : hint;
}

/** Linux: calc_vm_flag_bits. */
const flagBits = (flags: number): number =>
  ((flags & m.GROWSDOWN) === 0 ? 0 : f.GROWSDOWN) |
  ((flags & m.LOCKED) === 0 ? 0 : f.LOCKED) |
  ((flags & m.STACK) === 0 ? 0 : f.NOHUGEPAGE);

function anonymousFlags(flags: number, asked: number): number {
  switch (flags & m.TYPE) {
    case m.SHARED:
      return (asked & f.GROWSDOWN) === 0 ? asked | f.SHARED | f.MAYSHARE : -Errno.EINVAL;
    case m.PRIVATE:
      return asked;
    default:
      return -Errno.EINVAL;
  }
}

function fileFlags(file: MappedFile, flags: number, prot: number, asked: number): number {
  const type = flags & m.TYPE;
  if (type !== m.SHARED && type !== m.SHARED_VALIDATE && type !== m.PRIVATE) return -Errno.EINVAL;
  let vmFlags = asked;
  if (type !== m.PRIVATE) {
    if (type === m.SHARED_VALIDATE && (flags & ~LEGACY) !== 0) return -Errno.EOPNOTSUPP;
    if ((prot & Prot.WRITE) !== 0 && !file.isWritable) return -Errno.EACCES;
    vmFlags |= f.SHARED | f.MAYSHARE;
    if (!file.isWritable) vmFlags &= ~(f.MAYWRITE | f.SHARED);
  }
  if (!file.isReadable) return -Errno.EACCES;
  return (vmFlags & f.GROWSDOWN) === 0 ? vmFlags : -Errno.EINVAL;
}
