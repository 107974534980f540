/** The heap: a VMA that grows and shrinks at its end.  Linux: mm/mmap.c brk, mm/vma.c do_brk_flags. */

import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { Accounting } from "./accounting.ts";
import type { Mlock } from "./mlock.ts";
import type { Munmap } from "./munmap.ts";
import { pageAlign } from "./page-align.ts";
import type { UnmappedAreas } from "./unmapped-area.ts";
import { type MmRef, MmStruct } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
const f = VmFlag;
/** Linux: VM_DATA_DEFAULT_FLAGS on x86-64. */
const HEAP_FLAGS = f.READ | f.WRITE | f.MAYREAD | f.MAYWRITE | f.MAYEXEC | f.ACCOUNT;

export interface BrkParts {
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly areas: UnmappedAreas;
  readonly munmap: Munmap;
  readonly mlock: Mlock;
  readonly accounting: Accounting;
}

export class Brk {
  declare private readonly memory: Memory;
  declare private readonly parts: BrkParts;

  constructor(parts: BrkParts) {
    this.memory = parts.vmas.memory;
    this.parts = parts;
  }

  /** The end of the heap afterwards: `wanted`, or, when that cannot be, what it was.  @may-sleep */
  brk(at: MmRef, wanted: number): number {
    const { memory } = this;
    const { vmas, munmap, mlock } = this.parts;
    const { locks } = vmas;
    locks.writeLock(at);
    const before = memory.readFloat64(at + mm.brk);
    const [oldEnd, newEnd] = [pageAlign(before), pageAlign(wanted)];
    if (wanted < memory.readFloat64(at + mm.startBrk)) {
      locks.writeUnlock(at);
      return before;
    }
    if (newEnd < oldEnd) {
      const unmapping = munmap.gather(at, newEnd, oldEnd);
      if (unmapping === null || unmapping.areas.length === 0) {
        if (unmapping !== null) vmas.trees.abandon(unmapping.reserved);
        locks.writeUnlock(at);
        return before;
      }
      memory.writeFloat64(at + mm.brk, wanted);
      munmap.takeOut(unmapping);
      locks.downgrade(at);
      munmap.complete(unmapping);
      locks.readUnlock(at);
      return wanted;
    }
    const isGrown = newEnd === oldEnd || this.grow(at, oldEnd, newEnd);
    if (isGrown) memory.writeFloat64(at + mm.brk, wanted);
    const populates = isGrown && newEnd > oldEnd && (memory.read(at + mm.defFlags) & f.LOCKED) !== 0;
    locks.writeUnlock(at);
    if (populates) mlock.populate(at, oldEnd, newEnd - oldEnd, true);
    return isGrown ? wanted : before;
  }

  /** Linux: do_brk_flags.  @holds mmap_lock */
  private grow(at: MmRef, start: number, end: number): boolean {
    const { memory } = this;
    const { vmas, areas, accounting, merge } = this.parts;
    if (end > memory.readFloat64(at + mm.taskSize)) return false;
    const next = vmas.find(at, start);
    // A page stays free above the heap, and what a stack must keep below it.
    if (next !== 0 && end + PAGE_BYTES > areas.startWithGap(next)) return false;
    const pages = (end - start) / PAGE_BYTES;
    const flags = HEAP_FLAGS | memory.read(at + mm.defFlags);
    const isLocked = (flags & f.LOCKED) !== 0;
    if (!accounting.mayLock(at, flags, pages)) return false;
    // Linux: check_data_rlimit.
    if (end - memory.readFloat64(at + mm.startBrk) > memory.readFloat64(at + mm.limitDataPages) * PAGE_BYTES)
      return false;
    if (!accounting.mayExpand(at, flags, pages) || memory.read(at + mm.mapCount) > vmas.maxMapCount)
      return false;
    if (!accounting.commit(at, pages)) return false;
    const range = { start, end, flags, pgoff: start / PAGE_BYTES, file: 0, ops: 0 };
    let area = merge.merge(at, { ...range, policy: 0, anonVma: 0, middle: 0 });
    if (area === 0) {
      area = vmas.make(at, range);
      if (area !== 0 && vmas.link(at, area) !== 0) {
        vmas.free(area);
        area = 0;
      }
    }
    if (area <= 0) {
      accounting.uncommit(pages);
      return false;
    }
    accounting.count(at, flags, pages);
    if (isLocked) memory.writeFloat64(at + mm.lockedVm, memory.readFloat64(at + mm.lockedVm) + pages);
    return true;
  }
}
