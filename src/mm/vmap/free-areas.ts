/**
 * Free parts of the vmalloc range: one tree for the machine, under free_vmap_area_lock.
 *
 * An allocation takes the lowest hole that fits and cuts its part out, in one of four ways:
 *
 *   FL  the whole hole       LE  its left edge       RE  its right edge       NE  from its middle: two holes are left
 *
 * Only NE needs an area more.  It is taken before the lock, where the allocator may sleep, and waits in a word of this
 * CPU; what waits there is used by whoever needs it on this CPU.
 *
 * Linux: mm/vmalloc.c preload_this_cpu_lock, __alloc_vmap_area, va_clip, classify_va_fit_type, reclaim_list_global.
 */

import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Gfp } from "../pages/gfp.ts";
import type { SlabCaches } from "../slab/slab-caches.ts";
import { alignAddress } from "./area-tree.ts";
import { VMALLOC_START } from "./vmalloc-space.ts";
import { type AreaRef, VmapArea } from "./vmap-area.ts";
import { VmapCpu, VmapGlobals } from "./vmap-globals.ts";
import type { VmapSpace } from "./vmap-space.ts";

const area = VmapArea;
const globalField = VmapGlobals;
/** No address: no address of the range is 0. */
export const NO_ADDRESS = 0;

export class FreeAreas {
  declare private readonly memory: Memory;
  declare private readonly space: VmapSpace;
  declare private readonly locks: SpinLocks;
  declare private readonly slabs: SlabCaches;
  declare private readonly root: Pointer;
  declare private readonly list: Pointer;
  declare private readonly lock: Pointer;
  declare private readonly preload: Pointer;

  /** `own`: this CPU's VmapCpu. */
  constructor(parts: { space: VmapSpace; locks: SpinLocks; slabs: SlabCaches; own: Pointer }) {
    const { space } = parts;
    this.memory = space.memory;
    this.space = space;
    this.locks = parts.locks;
    this.slabs = parts.slabs;
    this.root = space.globals + globalField.freeRoot;
    this.list = space.globals + globalField.freeList;
    this.lock = space.globals + globalField.freeLock;
    this.preload = parts.own + VmapCpu.preload;
  }

  /** The start of `size` free bytes, which are free no more, or NO_ADDRESS.  @takes free_vmap_area_lock */
  take(size: number, align: number, gfp: number): number {
    const { memory, locks, slabs, space, preload } = this;
    const spare = memory.read(preload) === 0 ? slabs.alloc(space.areaCache, gfp) : 0;
    locks.lock(this.lock);
    if (spare !== 0) {
      if (memory.read(preload) === 0) memory.write(preload, spare);
      else slabs.free(space.areaCache, spare);
    }
    const address = this.takeLowest(size, align);
    locks.unlock(this.lock);
    return address;
  }

  /** Areas become free, joined with their neighbours.  Linux: reclaim_list_global.  @takes free_vmap_area_lock */
  giveBack(areas: readonly AreaRef[]): void {
    if (areas.length === 0) return;
    const { locks, slabs, space } = this;
    const cache = space.areaCache;
    locks.lock(this.lock);
    for (const at of areas) {
      space.gaps.mergeOrAdd(this.root, this.list, at, (unused) => slabs.free(cache, unused));
    }
    locks.unlock(this.lock);
  }

  /** The largest hole, bytes; a look without the lock is a hint. */
  get largestBytes(): number {
    const node = this.memory.read(this.root);
    return node === 0 ? 0 : this.memory.readFloat64(node - area.rb + area.subtreeMax);
  }

  /** Linux: __alloc_vmap_area.  @holds free_vmap_area_lock */
  private takeLowest(size: number, align: number): number {
    const { gaps, end } = this.space;
    // Beyond a page's alignment more is asked for, unless only the whole range would do.
    const adjusts = align > PAGE_BYTES && end - VMALLOC_START !== size;
    const hole = gaps.lowestMatch(this.root, size, align, VMALLOC_START, adjusts);
    if (hole === 0) return NO_ADDRESS;
    const start = alignAddress(gaps.startOf(hole), align);
    return start + size <= end && this.clip(hole, start, size) ? start : NO_ADDRESS;
  }

  /** False when there is no memory for a second hole.  Linux: va_clip. */
  private clip(hole: AreaRef, start: number, size: number): boolean {
    const { memory, slabs, space, preload } = this;
    const { gaps } = space;
    const isLeft = gaps.startOf(hole) === start;
    const isRight = gaps.endOf(hole) === start + size;
    if (isLeft && isRight) {
      gaps.remove(this.root, hole);
      slabs.free(space.areaCache, hole);
      return true;
    }
    if (isLeft) memory.writeFloat64(hole + area.start, start + size);
    else if (isRight) memory.writeFloat64(hole + area.end, start);
    else {
      let before = memory.read(preload);
      memory.write(preload, 0);
      if (before === 0) before = slabs.alloc(space.areaCache, Gfp.NOWAIT);
      if (before === 0) return false;
      memory.writeFloat64(before + area.start, gaps.startOf(hole));
      memory.writeFloat64(before + area.end, start);
      memory.writeFloat64(hole + area.start, start + size);
      gaps.resized(hole);
      gaps.insert(this.root, this.list, before);
      return true;
    }
    gaps.resized(hole);
    return true;
  }
}
