/**
 * Changing the size or the place of a mapping.
 *
 *   shrink        the tail is unmapped
 *   grow          in place if the VMA ends there and nothing is behind it; else, if it may, it moves
 *   move          a new VMA like the old one (or a neighbour takes the range over), the entries move, the old one goes
 *   no resize     to a given place: VMA after VMA of the range, holes and all (since Linux 6.17)
 *
 * A VMA with pages keeps its page offsets when it moves, so that its pages are still found; one without gets those of its
 * new place, which lets it merge there.  If there is no memory for tables half way, the entries move back.
 *
 * Linux: mm/mremap.c of 6.18; mm/vma.c copy_vma, vma_merge_extend.  Differs: what a merged VMA must have of the moved one's
 * anonymous maps, it gets (a later fix); locked_vm is exact after DONTUNMAP.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { Accounting } from "./accounting.ts";
import type { TableMover } from "./move-tables.ts";
import type { Munmap } from "./munmap.ts";
import { pageAlign } from "./page-align.ts";
import type { PageOps } from "./page-ops.ts";
import type { UnmappedAreas } from "./unmapped-area.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
const vma = VmArea;
const f = VmFlag;

/** Linux: include/uapi/linux/mman.h. */
export const MremapFlag = { MAYMOVE: 1, FIXED: 2, DONTUNMAP: 4 } as const;
const { MAYMOVE, FIXED, DONTUNMAP } = MremapFlag;
/** VMAs that a move may need besides: the old one may be cut in three. */
const SPARE_MAPS = 3;

export interface MremapRequest {
  readonly address: number;
  readonly oldBytes: number;
  readonly newBytes: number;
  readonly flags: number;
  /** Where to: with FIXED; a hint with DONTUNMAP. */
  readonly to: number;
}

/** An address or a negated errno, and what of a locked mapping has grown. */
export interface MremapResult {
  readonly value: number;
  readonly populateStart: number;
  readonly populateBytes: number;
}

export interface MremapParts {
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly areas: UnmappedAreas;
  readonly munmap: Munmap;
  readonly accounting: Accounting;
  readonly mover: TableMover;
  readonly pageOps: PageOps;
}

/** A step under way.  Linux: struct vma_remap_struct. */
interface Remap {
  readonly at: MmRef;
  readonly flags: number;
  readonly address: number;
  /** Lengths are whole pages. */
  readonly oldBytes: number;
  readonly newBytes: number;
  readonly to: number;
}

const failed = (errno: number): MremapResult => ({ value: -errno, populateStart: 0, populateBytes: 0 });
const moved = (value: number): MremapResult => ({ value, populateStart: 0, populateBytes: 0 });

export class Mremap {
  declare private readonly memory: Memory;
  declare private readonly vmas: Vmas;
  declare private readonly parts: MremapParts;

  constructor(parts: MremapParts) {
    this.memory = parts.vmas.memory;
    this.vmas = parts.vmas;
    this.parts = parts;
  }

  /** The system call but for what it populates.  Linux: do_mremap.  @may-sleep */
  mremap(at: MmRef, request: MremapRequest): MremapResult {
    const { locks } = this.vmas;
    const { address, flags, to } = request;
    const oldBytes = pageAlign(request.oldBytes);
    const newBytes = pageAlign(request.newBytes);
    const remap: Remap = { at, flags, address, oldBytes, newBytes, to };
    const error = this.refusal(remap);
    if (error !== 0) return failed(error);
    locks.writeLock(at);
    const isMoveOnly = (flags & FIXED) !== 0 && oldBytes === newBytes;
    if (!isMoveOnly && !impliesPlace(flags) && newBytes < oldBytes) {
      if (this.vmas.lookup(at, address) === 0) {
        locks.writeUnlock(at);
        return failed(Errno.EFAULT);
      }
      const result = this.parts.munmap.unmapAndUnlock(at, address + newBytes, oldBytes - newBytes);
      return moved(result < 0 ? result : address);
    }
    const value = isMoveOnly ? this.moveAll(remap) : this.remapOne(remap);
    const isGrown = value >= 0 && newBytes > oldBytes && this.isLocked(at, value);
    locks.writeUnlock(at);
    if (!isGrown) return moved(value);
    return { value, populateStart: value + oldBytes, populateBytes: newBytes - oldBytes };
  }

  /** An errno, or 0.  Linux: check_mremap_params. */
  private refusal({ at, flags, address, oldBytes, newBytes, to }: Remap): number {
    const taskSize = this.memory.readFloat64(at + mm.taskSize);
    if ((flags & ~(MAYMOVE | FIXED | DONTUNMAP)) !== 0) return Errno.EINVAL;
    if (address % PAGE_BYTES !== 0 || newBytes === 0 || newBytes > taskSize) return Errno.EINVAL;
    if (!impliesPlace(flags)) return 0;
    if (to > taskSize - newBytes || to % PAGE_BYTES !== 0) return Errno.EINVAL;
    if ((flags & MAYMOVE) === 0) return Errno.EINVAL;
    if ((flags & DONTUNMAP) !== 0 && oldBytes !== newBytes) return Errno.EINVAL;
    if (address + oldBytes > to && to + newBytes > address) return Errno.EINVAL;
    const maps = this.memory.read(at + mm.mapCount);
    return maps + 2 >= this.parts.vmas.maxMapCount - SPARE_MAPS ? Errno.ENOMEM : 0;
  }

  /** Linux: remap_move.  @holds mmap_lock */
  private moveAll(remap: Remap): number {
    const { vmas } = this;
    const { at, address, oldBytes, to } = remap;
    const end = address + oldBytes;
    let result = -Errno.EFAULT;
    for (let next = address; next < end; ) {
      const area = vmas.find(at, next);
      if (area === 0 || vmas.startOf(area) >= end) break;
      const from = Math.max(next, vmas.startOf(area));
      if (next === address && from > address) return -Errno.EFAULT;
      const bytes = Math.min(end, vmas.endOf(area)) - from;
      const own = { ...remap, address: from, to: to + (from - address), oldBytes: bytes, newBytes: bytes };
      const value = this.remapOne(own);
      if (value < 0) return value;
      if (from === address) result = value;
      next = from + bytes;
    }
    return result;
  }

  /** Within one VMA, or with nothing to be done.  @holds mmap_lock */
  private remapOne(remap: Remap): number {
    const { at, flags, address, oldBytes, newBytes } = remap;
    const area = this.vmas.lookup(at, address);
    if (area === 0) return -Errno.EFAULT;
    if (!impliesPlace(flags) && oldBytes === newBytes) return address;
    const error = this.checkArea(remap, area);
    if (error !== 0) return -error;
    if (impliesPlace(flags)) return this.moveTo(remap);
    if (this.growsInPlace(remap, area)) return this.extend(remap, area);
    return (flags & MAYMOVE) === 0 ? -Errno.ENOMEM : this.findAndMove(remap);
  }

  /** An errno, or 0.  Linux: check_prep_vma. */
  private checkArea({ at, flags, address, oldBytes, newBytes }: Remap, area: VmaRef): number {
    const { vmas } = this;
    const { accounting } = this.parts;
    const vmFlags = vmas.flagsOf(area);
    if (oldBytes === 0 && (vmFlags & (f.SHARED | f.MAYSHARE)) === 0) return Errno.EINVAL;
    if ((flags & DONTUNMAP) !== 0 && (vmFlags & (f.DONTEXPAND | f.PFNMAP)) !== 0) return Errno.EINVAL;
    // What a shrink unmaps may cross VMAs, what is moved may not.
    if (Math.min(oldBytes, newBytes) > vmas.endOf(area) - address) return Errno.EFAULT;
    if (newBytes <= oldBytes) return 0;
    if (oldBytes > vmas.endOf(area) - address) return Errno.EFAULT;
    if ((vmFlags & (f.DONTEXPAND | f.PFNMAP)) !== 0) return Errno.EFAULT;
    const pages = (newBytes - oldBytes) / PAGE_BYTES;
    if (!accounting.mayLock(at, vmFlags, pages)) return Errno.EAGAIN;
    return accounting.mayExpand(at, vmFlags, pages) ? 0 : Errno.ENOMEM;
  }

  /** Linux: vrm_can_expand_in_place, vma_expandable. */
  private growsInPlace({ at, address, oldBytes, newBytes }: Remap, area: VmaRef): boolean {
    const { vmas } = this;
    const end = vmas.endOf(area);
    if (end - address !== oldBytes) return false;
    const next = vmas.find(at, end);
    const newEnd = end + (newBytes - oldBytes);
    return (
      (next === 0 || vmas.startOf(next) >= newEnd) && newEnd <= this.memory.readFloat64(at + mm.taskSize)
    );
  }

  /** Linux: expand_vma_in_place, vma_merge_extend. */
  private extend({ at, address, oldBytes, newBytes }: Remap, area: VmaRef): number {
    const { vmas, parts } = this;
    const flags = vmas.flagsOf(area);
    const pages = (newBytes - oldBytes) / PAGE_BYTES;
    const charged = (flags & f.ACCOUNT) === 0 ? 0 : pages;
    if (charged > 0 && !parts.accounting.commit(at, charged)) return -Errno.ENOMEM;
    const own = parts.merge.rangeOf(area, flags);
    const pgoff = own.pgoff + (own.end - own.start) / PAGE_BYTES;
    const end = own.end + (newBytes - oldBytes);
    const merged = parts.merge.merge(at, { ...own, start: own.end, end, pgoff, middle: 0 });
    if (merged <= 0) {
      parts.accounting.uncommit(charged);
      return -Errno.ENOMEM;
    }
    this.count(at, flags, pages);
    return address;
  }

  /** Linux: mremap_to. */
  private moveTo(remap: Remap): number {
    const { vmas, parts } = this;
    const { at, flags, address, oldBytes, newBytes, to } = remap;
    if ((flags & FIXED) !== 0) {
      const error = parts.munmap.unmapHeld(at, to, to + newBytes);
      if (error !== 0) return error;
      // It may have been a part of the same VMA.
      if (vmas.lookup(at, address) === 0) return -Errno.EFAULT;
    }
    if (newBytes < oldBytes) {
      const error = parts.munmap.unmapHeld(at, address + newBytes, address + oldBytes);
      if (error !== 0) return error;
    }
    const kept = { ...remap, oldBytes: Math.min(oldBytes, newBytes) };
    const vmFlags = vmas.flagsOf(vmas.lookup(at, address));
    if ((flags & DONTUNMAP) !== 0 && !parts.accounting.mayExpand(at, vmFlags, oldBytes / PAGE_BYTES))
      return -Errno.ENOMEM;
    return this.findAndMove(kept);
  }

  /** Linux: vrm_set_new_addr, then move_vma. */
  private findAndMove(remap: Remap): number {
    const { memory, vmas } = this;
    const { at, flags, address, newBytes } = remap;
    const area = vmas.lookup(at, address);
    const isFixed = (flags & FIXED) !== 0;
    const isPrivateAnon = memory.read(area + vma.file) === 0 && (vmas.flagsOf(area) & f.MAYSHARE) === 0;
    const hint = impliesPlace(flags) ? remap.to : 0;
    const to = this.parts.areas.find(at, { hint, bytes: newBytes, isFixed, wantsHuge: isPrivateAnon });
    if (to < 0) return to;
    return this.moveArea({ ...remap, to }, area);
  }

  /** Linux: move_vma, copy_vma_and_data. */
  private moveArea(remap: Remap, old: VmaRef): number {
    const { memory, vmas, parts } = this;
    const { at, flags, address, oldBytes, newBytes, to } = remap;
    if (memory.read(at + mm.mapCount) >= vmas.maxMapCount - SPARE_MAPS) return -Errno.ENOMEM;
    const vmFlags = vmas.flagsOf(old);
    const keepsOld = (flags & DONTUNMAP) !== 0;
    const grown = keepsOld ? newBytes : newBytes - oldBytes;
    const charged = (vmFlags & f.ACCOUNT) === 0 ? 0 : grown / PAGE_BYTES;
    if (charged > 0 && !parts.accounting.commit(at, charged)) return -Errno.ENOMEM;
    vmas.locks.startWrite(old);
    const copied = this.copyArea(at, old, address, to, newBytes);
    if (copied === null) {
      parts.accounting.uncommit(charged);
      return -Errno.ENOMEM;
    }
    const { source, target, rmapLocked } = copied;
    const done = parts.mover.move({ mm: at, from: address, to, bytes: oldBytes, rmapLocked });
    this.count(at, vmFlags, newBytes / PAGE_BYTES);
    if (done < oldBytes) {
      parts.mover.move({ mm: at, from: to, to: address, bytes: done, rmapLocked: target });
      this.unmapMoved(at, to, newBytes, vmFlags);
      parts.accounting.uncommit(charged);
      return -Errno.ENOMEM;
    }
    if (keepsOld) this.finishKept(remap, source, target);
    else if (oldBytes > 0) this.unmapMoved(at, address, oldBytes, vmFlags);
    return to;
  }

  /**
   * The VMA that has [to, to + bytes) and is like `old` from `address` on.  `source` is the VMA that has `address` then:
   * the two may have merged.  Null when there is no memory.  Linux: copy_vma.
   */
  private copyArea(
    at: MmRef,
    old: VmaRef,
    address: number,
    to: number,
    bytes: number,
  ): { source: VmaRef; target: VmaRef; rmapLocked: VmaRef } | null {
    const { memory, vmas, parts } = this;
    const own = parts.merge.rangeOf(old, vmas.flagsOf(old));
    // Without pages there is nothing that the offsets must fit.
    const isFree = own.file === 0 && own.ops === 0 && own.anonVma === 0;
    const pgoff = isFree ? to / PAGE_BYTES : own.pgoff + (address - own.start) / PAGE_BYTES;
    const range = { ...own, start: to, end: to + bytes, pgoff, middle: 0, copiedFrom: old };
    const merged = parts.merge.merge(at, range);
    if (merged < 0) return null;
    if (merged > 0) {
      const source = vmas.lookup(at, address);
      // Who looks through VMAs by offset may have passed the new place, and not reached the old one.
      const isBefore = vmas.pgoffOf(merged) <= vmas.pgoffOf(source);
      return { source, target: merged, rmapLocked: isBefore ? merged : 0 };
    }
    const target = vmas.duplicate(at, old);
    if (target === 0) return null;
    memory.writeFloat64(target + vma.start, to);
    memory.writeFloat64(target + vma.end, to + bytes);
    memory.writeFloat64(target + vma.pgoff, pgoff);
    if (!vmas.cloneAnon(target, old)) {
      vmas.free(target);
      return null;
    }
    vmas.opened(target);
    if (vmas.link(at, target) === 0) return { source: old, target, rmapLocked: 0 };
    vmas.anonVmas.unlink(target);
    vmas.closed(target);
    vmas.free(target);
    return null;
  }

  /** The old VMA stays, empty and not locked.  Linux: dontunmap_complete. */
  private finishKept({ at, address, oldBytes }: Remap, source: VmaRef, target: VmaRef): void {
    const { memory, vmas } = this;
    const flags = vmas.flagsOf(source);
    memory.write(source + vma.flags, flags & ~(f.LOCKED | f.LOCKONFAULT));
    if ((flags & f.LOCKED) !== 0) {
      this.countLocked(at, -vmas.pagesOf(source));
      // Linux forgets the pages of what was not moved until they are freed.
      this.parts.pageOps.mlock(at, vmas.startOf(source), vmas.endOf(source), false);
    }
    const isWhole = vmas.startOf(source) === address && vmas.endOf(source) === address + oldBytes;
    if (source !== target && isWhole) vmas.anonVmas.unlink(source);
  }

  /** What was promised to the range is the new one's.  Linux: unmap_source_vma. */
  private unmapMoved(at: MmRef, start: number, bytes: number, flags: number): void {
    const { munmap, accounting } = this.parts;
    const unmapping = munmap.gather(at, start, start + bytes);
    if (unmapping === null) {
      // It could not be cut: it stays, and counts.
      if ((flags & f.ACCOUNT) !== 0) accounting.commitAlways(bytes / PAGE_BYTES);
      return;
    }
    munmap.takeOut(unmapping);
    munmap.complete({ ...unmapping, accounted: 0 });
  }

  private isLocked(at: MmRef, address: number): boolean {
    return (this.vmas.flagsOf(this.vmas.lookup(at, address)) & f.LOCKED) !== 0;
  }

  /** Linux: vrm_stat_account. */
  private count(at: MmRef, flags: number, pages: number): void {
    this.parts.accounting.count(at, flags, pages);
    if ((flags & f.LOCKED) !== 0) this.countLocked(at, pages);
  }

  private countLocked(at: MmRef, pages: number): void {
    const { memory } = this;
    memory.writeFloat64(at + mm.lockedVm, memory.readFloat64(at + mm.lockedVm) + pages);
  }
}

/** Linux: vrm_implies_new_addr. */
const impliesPlace = (flags: number): boolean => (flags & (FIXED | DONTUNMAP)) !== 0;
