/**
 * Where a new mapping goes: at its hint if nothing is there, else top-down below mmap_base, the highest gap that fits.
 * With five levels of tables addresses above 2^47 are given only to who asks with a hint above it.
 *
 * Linux: mm/mmap.c __get_unmapped_area, arch_get_unmapped_area_topdown (arch/x86/kernel/sys_x86_64.c), vm_unmapped_area;
 * mm/huge_memory.c thp_get_unmapped_area_vmflags.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { alignDown, PAGE_BYTES } from "../memory/units.ts";
import { MAP_WINDOW_END } from "../mm/pgtable/address-range.ts";
import { type MmRef, MmStruct, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
const PMD_BYTES = 2 ** 21;
/** Kept free below a stack.  Linux: stack_guard_gap. */
export const STACK_GUARD_GAP = 256 * PAGE_BYTES;

export interface AreaRequest {
  /** Page-aligned; 0 is no hint. */
  readonly hint: number;
  readonly bytes: number;
  readonly isFixed: boolean;
  /** Private anonymous memory, whose huge pages want aligned places. */
  readonly wantsHuge: boolean;
}

export class UnmappedAreas {
  declare private readonly vmas: Vmas;
  declare private readonly memory: Memory;

  /** The lowest address a mapping may have.  Linux: vm.mmap_min_addr. */
  declare readonly minAddress: number;

  constructor(vmas: Vmas, minAddress: number) {
    this.vmas = vmas;
    this.minAddress = minAddress;
    this.memory = vmas.memory;
  }

  /** An address, or -ENOMEM.  @holds mmap_lock */
  find(at: MmRef, request: AreaRequest): number {
    const taskSize = this.memory.readFloat64(at + mm.taskSize);
    const { bytes, isFixed, hint } = request;
    if (bytes > taskSize) return -Errno.ENOMEM;
    if (isFixed) return hint > taskSize - bytes ? -Errno.ENOMEM : hint;
    if (request.wantsHuge && hint === 0 && bytes % PMD_BYTES === 0) {
      const padded = this.topDown(at, 0, bytes + PMD_BYTES, taskSize);
      if (padded >= 0)
        return alignDown(padded + PMD_BYTES - 1, PMD_BYTES) + (padded % PMD_BYTES === 0 ? PMD_BYTES : 0);
    }
    return this.topDown(at, hint, bytes, taskSize);
  }

  /** Where a VMA begins, with the room that a stack must keep below it.  Linux: vm_start_gap. */
  startWithGap(area: VmaRef): number {
    const start = this.vmas.startOf(area);
    return (this.vmas.flagsOf(area) & VmFlag.GROWSDOWN) === 0 ? start : Math.max(0, start - STACK_GUARD_GAP);
  }

  private topDown(at: MmRef, hint: number, bytes: number, taskSize: number): number {
    const { vmas, memory } = this;
    const isHigh = hint > MAP_WINDOW_END;
    // The two parts have no mapping in common.  Linux: mmap_address_hint_valid.
    if (hint !== 0 && hint <= taskSize - bytes && isHigh === hint + bytes > MAP_WINDOW_END) {
      const next = vmas.find(at, hint);
      if (next === 0 || hint + bytes <= this.startWithGap(next)) return hint;
    }
    const base = memory.readFloat64(at + mm.mmapBase);
    const end = isHigh ? taskSize : Math.min(taskSize, MAP_WINDOW_END);
    const top = isHigh ? base + taskSize - MAP_WINDOW_END : base;
    const found = this.gap(at, Math.max(PAGE_BYTES, this.minAddress), top, bytes);
    return found >= 0 ? found : this.gapUp(at, base, end, bytes);
  }

  /** The highest gap within [low, high) that stacks above leave.  Linux: unmapped_area_topdown. */
  private gap(at: MmRef, low: number, high: number, bytes: number): number {
    const { vmas } = this;
    for (let end = high; ; ) {
      const found = vmas.trees.emptyAreaBack(at + mm.tree, low, end - 1, bytes);
      if (found < 0) return -Errno.ENOMEM;
      const next = vmas.find(at, found);
      if (next === 0) return found;
      const limit = this.startWithGap(next);
      if (found + bytes <= limit) return found;
      end = limit;
    }
  }

  /** Above mmap_base, when there is no room below.  Linux: unmapped_area. */
  private gapUp(at: MmRef, low: number, high: number, bytes: number): number {
    const { vmas } = this;
    for (let start = low; ; ) {
      const found = vmas.trees.emptyArea(at + mm.tree, start, high - 1, bytes);
      if (found < 0) return -Errno.ENOMEM;
      const next = vmas.find(at, found);
      if (next === 0 || found + bytes <= this.startWithGap(next)) return found;
      start = vmas.endOf(next);
    }
  }
}
