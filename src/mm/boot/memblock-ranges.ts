/**
 * Free physical ranges: memory that nobody has reserved, upwards or downwards, and the search for room among them.
 *
 * Linux: mm/memblock.c __next_mem_range, __next_mem_range_rev, memblock_find_in_range_node.
 */

import { alignDown, alignUp, PAGE_BYTES } from "../../memory/units.ts";
import { NO_NODE, type RegionArray } from "./memblock-regions.ts";

/** Properties of a memory region.  Linux: enum memblock_flags. */
export const MemblockFlag = {
  NONE: 0,
  /** May be unplugged: skipped when only nodes that stay are to be used. */
  HOTPLUG: 1,
  /** Mirrored: the first choice for the kernel. */
  MIRROR: 2,
  /** Not in the direct map: never handed out. */
  NOMAP: 4,
  DRIVER_MANAGED: 8,
  /** Reserved, and its page structures stay uninitialised. */
  RSRV_NOINIT: 16,
} as const;

export interface FreeRange {
  readonly start: number;
  readonly end: number;
  readonly node: number;
}

/** Which memory regions count. */
export interface RangeFilter {
  readonly memory: RegionArray;
  readonly reserved: RegionArray;
  /** NO_NODE: any. */
  readonly node: number;
  readonly flags: number;
  /** Hot-pluggable memory is left for ZONE_MOVABLE.  Linux: movable_node_is_enabled(). */
  readonly movableNode: boolean;
}

export interface Search {
  readonly size: number;
  readonly align: number;
  readonly start: number;
  readonly end: number;
}

const flag = MemblockFlag;

/** Free ranges in ascending order. */
export function* freeRanges(filter: RangeFilter): Generator<FreeRange> {
  const { memory, reserved } = filter;
  let r = 0;
  for (let m = 0; m < memory.count; m++) {
    if (skips(filter, m)) continue;
    const end = memory.end(m);
    const node = memory.node(m);
    let start = memory.base(m);
    while (r < reserved.count && reserved.end(r) <= start) r++;
    for (; r < reserved.count && reserved.base(r) < end; r++) {
      if (reserved.base(r) > start) yield { start, end: reserved.base(r), node };
      start = Math.max(start, reserved.end(r));
      // A reservation that reaches past this region may cover the start of the next one, too.
      if (start >= end) break;
    }
    if (start < end) yield { start, end, node };
  }
}

/** Free ranges in descending order. */
export function* freeRangesDown(filter: RangeFilter): Generator<FreeRange> {
  const { memory, reserved } = filter;
  let r = reserved.count - 1;
  for (let m = memory.count - 1; m >= 0; m--) {
    if (skips(filter, m)) continue;
    const start = memory.base(m);
    const node = memory.node(m);
    let end = memory.end(m);
    while (r >= 0 && reserved.base(r) >= end) r--;
    for (; r >= 0 && reserved.end(r) > start; r--) {
      if (reserved.end(r) < end) yield { start: reserved.end(r), end, node };
      end = Math.min(end, reserved.base(r));
      if (start >= end) break;
    }
    if (start < end) yield { start, end, node };
  }
}

/**
 * An aligned free place of `size` bytes in [start, end), lowest first when `bottomUp`, else highest; 0 when there is
 * none.  The first page is never given: 0 means failure.
 */
export function findFree(filter: RangeFilter, search: Search, bottomUp: boolean): number {
  const start = Math.max(search.start, PAGE_BYTES);
  const end = Math.max(search.end, start);
  const { size, align } = search;
  for (const range of bottomUp ? freeRanges(filter) : freeRangesDown(filter)) {
    const low = Math.min(Math.max(range.start, start), end);
    const high = Math.min(Math.max(range.end, start), end);
    const place = bottomUp ? alignUp(low, align) : alignDown(high - size, align);
    if (place >= low && place + size <= high && place < high) return place;
  }
  return 0;
}

/** Linux: should_skip_region. */
function skips(filter: RangeFilter, m: number): boolean {
  const { memory, node, flags } = filter;
  if (node !== NO_NODE && node !== memory.node(m)) return true;
  const has = memory.flags(m);
  if (filter.movableNode && (has & flag.HOTPLUG) !== 0 && (flags & flag.HOTPLUG) === 0) return true;
  if ((flags & flag.MIRROR) !== 0 && (has & flag.MIRROR) === 0) return true;
  if ((flags & flag.NOMAP) === 0 && (has & flag.NOMAP) !== 0) return true;
  return (flags & flag.DRIVER_MANAGED) === 0 && (has & flag.DRIVER_MANAGED) !== 0;
}
