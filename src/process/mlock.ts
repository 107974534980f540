/**
 * Locking pages in memory.  Linux: mm/mlock.c do_mlock, apply_vma_lock_flags, mlock_fixup, mlockall; mm/gup.c __mm_populate.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { Accounting } from "./accounting.ts";
import { pageAlign, pageFloor, wrappedEnd } from "./page-align.ts";
import type { PageOps } from "./page-ops.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "./vm-area.ts";
import { VM_SPECIAL, VmFlag } from "./vm-flags.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
const vma = VmArea;
const { LOCKED, LOCKONFAULT, WRITE, SHARED, READ, EXEC, IO, PFNMAP } = VmFlag;
const LOCK_FLAGS = LOCKED | LOCKONFAULT;

export const Mlock2Flag = { ONFAULT: 1 } as const;
export const MlockallFlag = { CURRENT: 1, FUTURE: 2, ONFAULT: 4 } as const;
const { CURRENT, FUTURE, ONFAULT } = MlockallFlag;

export interface MlockParts {
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly pageOps: PageOps;
  readonly accounting: Accounting;
}

export class Mlock {
  declare private readonly memory: Memory;
  declare private readonly vmas: Vmas;
  declare private readonly merge: VmaMerge;
  declare private readonly pageOps: PageOps;
  declare private readonly accounting: Accounting;

  constructor(parts: MlockParts) {
    this.memory = parts.vmas.memory;
    this.vmas = parts.vmas;
    this.merge = parts.merge;
    this.pageOps = parts.pageOps;
    this.accounting = parts.accounting;
  }

  /** 0 or a negated errno.  @may-sleep */
  mlock(at: MmRef, start: number, bytes: number): number {
    return this.lockRange(at, start, bytes, LOCKED);
  }

  mlock2(at: MmRef, start: number, bytes: number, flags: number): number {
    if ((flags & ~Mlock2Flag.ONFAULT) !== 0) return -Errno.EINVAL;
    return this.lockRange(at, start, bytes, flags === 0 ? LOCKED : LOCK_FLAGS);
  }

  munlock(at: MmRef, start: number, bytes: number): number {
    const { locks } = this.vmas;
    const first = pageFloor(start);
    locks.writeLock(at);
    const result = this.apply(at, first, pageAlign(bytes + (start - first)), 0);
    locks.writeUnlock(at);
    return result;
  }

  mlockall(at: MmRef, flags: number): number {
    const { memory, vmas } = this;
    if (flags === 0 || flags === ONFAULT || (flags & ~(CURRENT | FUTURE | ONFAULT)) !== 0)
      return -Errno.EINVAL;
    if (!this.accounting.mayLockAny(at)) return -Errno.EPERM;
    vmas.locks.writeLock(at);
    const isWithin = this.accounting.mayHaveLocked(at, memory.readFloat64(at + mm.totalVm));
    if ((flags & CURRENT) === 0 || isWithin) this.applyAll(at, flags);
    vmas.locks.writeUnlock(at);
    if ((flags & CURRENT) === 0) return 0;
    if (!isWithin) return -Errno.ENOMEM;
    this.populate(at, 0, memory.readFloat64(at + mm.taskSize), true);
    return 0;
  }

  munlockall(at: MmRef): number {
    this.vmas.locks.writeLock(at);
    this.applyAll(at, 0);
    this.vmas.locks.writeUnlock(at);
    return 0;
  }

  /**
   * Faults in what of [start, start + bytes) is mapped; stops at the first error unless these are ignored.
   * Linux: __mm_populate.  @may-sleep
   */
  populate(at: MmRef, start: number, bytes: number, ignoresErrors: boolean): number {
    const { vmas, pageOps } = this;
    const end = start + bytes;
    let result = 0;
    vmas.locks.readLock(at);
    for (let next = start; next < end && result === 0; ) {
      const area = vmas.find(at, next);
      if (area === 0 || vmas.startOf(area) >= end) break;
      const flags = vmas.flagsOf(area);
      const from = Math.max(next, vmas.startOf(area));
      next = Math.min(end, vmas.endOf(area));
      if ((flags & (IO | PFNMAP | LOCKONFAULT)) !== 0) continue;
      if ((flags & (READ | WRITE | EXEC)) === 0) {
        if (!ignoresErrors) result = -Errno.EFAULT;
        continue;
      }
      const isWrite = (flags & (WRITE | SHARED)) === WRITE;
      for (let at2 = from; at2 < next; ) {
        const done = pageOps.populate(at, area, { start: at2, end: next, isWrite });
        if (done < 0) {
          if (!ignoresErrors) result = done;
          break;
        }
        at2 += done * PAGE_BYTES;
      }
    }
    vmas.locks.readUnlock(at);
    return result;
  }

  /** Linux: do_mlock. */
  private lockRange(at: MmRef, start: number, bytes: number, flags: number): number {
    const { memory, vmas, accounting } = this;
    if (!accounting.mayLockAny(at)) return -Errno.EPERM;
    const first = pageFloor(start);
    const length = pageAlign(bytes + (start - first));
    vmas.locks.writeLock(at);
    const wanted = memory.readFloat64(at + mm.lockedVm) + length / PAGE_BYTES;
    const isWithin =
      accounting.mayHaveLocked(at, wanted) ||
      accounting.mayHaveLocked(at, wanted - this.lockedPages(at, first, length));
    const error = isWithin ? this.apply(at, first, length, flags) : -Errno.ENOMEM;
    vmas.locks.writeUnlock(at);
    if (error !== 0) return error;
    const populated = this.populate(at, first, length, false);
    // Linux: __mlock_posix_error_return.
    if (populated === -Errno.EFAULT) return -Errno.ENOMEM;
    return populated === -Errno.ENOMEM ? -Errno.EAGAIN : populated;
  }

  /** Pages of a range that are locked already.  Linux: count_mm_mlocked_page_nr.  @holds mmap_lock */
  private lockedPages(at: MmRef, start: number, bytes: number): number {
    const { vmas } = this;
    const end = start + bytes;
    const within = (area: VmaRef): number =>
      (Math.min(end, vmas.endOf(area)) - Math.max(start, vmas.startOf(area))) / PAGE_BYTES;
    return vmas
      .overlapping(at, start, end)
      .filter((area) => (vmas.flagsOf(area) & LOCKED) !== 0)
      .reduce((sum, area) => sum + within(area), 0);
  }

  /** Linux: apply_vma_lock_flags.  @holds mmap_lock */
  private apply(at: MmRef, start: number, bytes: number, flags: number): number {
    const { vmas } = this;
    const end = wrappedEnd(start, bytes);
    if (end < start) return -Errno.EINVAL;
    if (end === start) return 0;
    for (let from = start; from < end; ) {
      const area = vmas.lookup(at, from);
      if (area === 0) return -Errno.ENOMEM;
      const to = Math.min(vmas.endOf(area), end);
      const error = this.applyOne(at, area, from, to, (vmas.flagsOf(area) & ~LOCK_FLAGS) | flags);
      if (error !== 0) return error;
      from = to;
    }
    return 0;
  }

  /** Linux: apply_mlockall_flags.  @holds mmap_lock */
  private applyAll(at: MmRef, flags: number): void {
    const { memory, vmas } = this;
    const lock = (flags & ONFAULT) === 0 ? LOCKED : LOCK_FLAGS;
    const old = memory.read(at + mm.defFlags) & ~LOCK_FLAGS;
    memory.write(at + mm.defFlags, (flags & FUTURE) === 0 ? old : old | lock);
    if (flags !== 0 && (flags & CURRENT) === 0) return;
    const end = memory.readFloat64(at + mm.taskSize);
    for (const area of vmas.overlapping(at, 0, end)) {
      const kept = vmas.flagsOf(area) & ~LOCK_FLAGS;
      // The walk's VMAs are whole: none is merged away under it but by its neighbour.
      if (vmas.locks.isDetached(area)) continue;
      this.applyOne(at, area, vmas.startOf(area), vmas.endOf(area), flags === 0 ? kept : kept | lock);
    }
  }

  /** Linux: mlock_fixup.  @holds mmap_lock */
  private applyOne(at: MmRef, area: VmaRef, start: number, end: number, flags: number): number {
    const { memory, vmas } = this;
    const old = vmas.flagsOf(area);
    if (flags === old || (old & VM_SPECIAL) !== 0) return 0;
    const own = this.merge.modify(at, area, start, end, flags);
    if (own < 0) return own;
    const pages = (end - start) / PAGE_BYTES;
    const change = (flags & LOCKED) === 0 ? -pages : (old & LOCKED) !== 0 ? 0 : pages;
    memory.writeFloat64(at + mm.lockedVm, memory.readFloat64(at + mm.lockedVm) + change);
    vmas.locks.startWrite(own);
    memory.write(own + vma.flags, flags);
    if (change !== 0) this.pageOps.mlock(at, start, end, change > 0);
    return 0;
  }
}
