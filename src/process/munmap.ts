/**
 * Unmapping a range: VMAs that reach out of it are cut, all within leave the tree at once, then their pages and tables go, and
 * last the VMAs themselves.
 *
 * The pages go while mmap_lock is held for reading only, where the caller asks for that: nobody can find the VMAs any more,
 * and faults elsewhere go on.
 *
 * Linux: mm/vma.c do_vmi_munmap, do_vmi_align_munmap, vms_gather_munmap_vmas, vms_complete_munmap_vmas.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { NO_CEILING } from "../mm/pgtable/table-ranges.ts";
import type { Accounting } from "./accounting.ts";
import type { Reserved } from "./maple-tree.ts";
import { pageAlign } from "./page-align.ts";
import { type MmRef, MmStruct, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
/** The flush comes after mmap_lock was dropped. */
const flushesUnlocked = mutant("munmap-flush-unlocked");

/** What unmapping needs of page tables. */
export interface RangeUnmapper {
  /**
   * Takes the pages of VMAs that have left the tree, and the tables that nobody between the neighbours `floor` and
   * `ceiling` needs; returns when no TLB knows them.  Linux: unmap_region.
   */
  unmapRegion(at: MmRef, areas: readonly VmaRef[], floor: number, ceiling: number): void;
}

/** A range that is about to be unmapped: its VMAs are cut, the tree's nodes are there. */
export interface Unmapping {
  readonly at: MmRef;
  readonly start: number;
  readonly end: number;
  readonly areas: readonly VmaRef[];
  readonly reserved: Reserved;
  readonly pages: number;
  readonly accounted: number;
}

export interface MunmapParts {
  readonly vmas: Vmas;
  readonly accounting: Accounting;
  readonly unmapper: RangeUnmapper;
}

export class Munmap {
  declare private readonly memory: Memory;
  declare private readonly vmas: Vmas;
  declare private readonly accounting: Accounting;
  declare private readonly unmapper: RangeUnmapper;

  constructor(parts: MunmapParts) {
    this.memory = parts.vmas.memory;
    this.vmas = parts.vmas;
    this.accounting = parts.accounting;
    this.unmapper = parts.unmapper;
  }

  /** The system call: 0, -EINVAL or -ENOMEM.  @may-sleep */
  munmap(at: MmRef, start: number, bytes: number): number {
    this.vmas.locks.writeLock(at);
    return this.unmapAndUnlock(at, start, bytes);
  }

  /** The same as the end of a change for which mmap_lock was taken.  @holds mmap_lock, and drops it */
  unmapAndUnlock(at: MmRef, start: number, bytes: number): number {
    const { locks } = this.vmas;
    const range = this.rangeOf(at, start, bytes);
    const unmapping = range === null ? null : this.gather(at, range.start, range.end);
    if (range === null || unmapping === null) {
      locks.writeUnlock(at);
      return range === null ? -Errno.EINVAL : -Errno.ENOMEM;
    }
    this.takeOut(unmapping);
    locks.downgrade(at);
    reached("munmap-flush-unlocked");
    if (flushesUnlocked) locks.readUnlock(at);
    this.complete(unmapping);
    if (!flushesUnlocked) locks.readUnlock(at);
    return 0;
  }

  /** The same within a longer change: mmap_lock stays held for writing.  Linux: do_vmi_align_munmap.  @holds mmap_lock */
  unmapHeld(at: MmRef, start: number, end: number): number {
    const unmapping = this.gather(at, start, end);
    if (unmapping === null) return -Errno.ENOMEM;
    this.takeOut(unmapping);
    this.complete(unmapping);
    return 0;
  }

  /** Cuts the VMAs at the ends, and keeps what taking them out will need; null when there is no memory.  @holds mmap_lock */
  gather(at: MmRef, start: number, end: number): Unmapping | null {
    const { vmas, memory } = this;
    const first = vmas.lookup(at, start);
    if (first !== 0 && vmas.startOf(first) < start) {
      // One VMA becomes three: only this can pass the limit.
      if (end < vmas.endOf(first) && memory.read(at + mm.mapCount) >= vmas.maxMapCount) return null;
      if (vmas.split(at, first, start, true) !== 0) return null;
    }
    const last = vmas.lookup(at, end);
    if (last !== 0 && vmas.startOf(last) < end && vmas.split(at, last, end, false) !== 0) return null;
    const areas = vmas.overlapping(at, start, end);
    const reserved = vmas.reserve(at, start, end, 0);
    if (reserved === null) return null;
    for (const area of areas) vmas.locks.startWrite(area);
    const sum = (flag: number): number =>
      areas.reduce(
        (total, area) => total + ((vmas.flagsOf(area) & flag) === flag ? vmas.pagesOf(area) : 0),
        0,
      );
    return { at, start, end, areas, reserved, pages: sum(0), accounted: sum(VmFlag.ACCOUNT) };
  }

  /** Nobody finds the VMAs any more.  @holds mmap_lock */
  takeOut({ at, areas, reserved }: Unmapping): void {
    const { vmas, memory } = this;
    vmas.trees.commit(reserved);
    for (const area of areas) {
      vmas.detach(area);
      if ((vmas.flagsOf(area) & VmFlag.LOCKED) === 0) continue;
      memory.writeFloat64(at + mm.lockedVm, memory.readFloat64(at + mm.lockedVm) - vmas.pagesOf(area));
    }
    vmas.countMaps(at, -areas.length);
  }

  /** The pages, the tables, the VMAs.  Linux: vms_complete_munmap_vmas.  @holds mmap_lock */
  complete({ at, start, end, areas, accounted }: Unmapping): void {
    const { vmas, accounting } = this;
    if (areas.length === 0) return;
    const below = vmas.before(at, start);
    const above = vmas.find(at, end);
    const floor = below === 0 ? 0 : vmas.endOf(below);
    const ceiling = above === 0 ? NO_CEILING : vmas.startOf(above);
    this.unmapper.unmapRegion(at, areas, floor, ceiling);
    if (accounted > 0) accounting.uncommit(accounted);
    for (const area of areas) {
      accounting.count(at, vmas.flagsOf(area), -vmas.pagesOf(area));
      vmas.anonVmas.unlink(area);
      vmas.closed(area);
      vmas.free(area);
    }
  }

  private rangeOf(at: MmRef, start: number, bytes: number): { start: number; end: number } | null {
    const taskSize = this.memory.readFloat64(at + mm.taskSize);
    if (start % PAGE_BYTES !== 0 || start > taskSize || bytes > taskSize - start) return null;
    const end = start + pageAlign(bytes);
    return end === start ? null : { start, end };
  }
}
