/**
 * `struct zone`: the frames of one node that share an address limit, with their free lists, marks and counters.
 *
 * What every allocation reads comes first and is written rarely; the lock and the free lists share lines of their own; the
 * counters, which every CPU folds into, come last.  Without padding (`shape.padding`) they follow each other, and the
 * lock takes what is read along.
 *
 * Linux: include/linux/mmzone.h struct zone.
 */

import { array, embed, pad, struct, word, wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { ZONE_STAT_NAMES } from "./counters.ts";
import { FreeArea } from "./free-area.ts";
import { ORDERS } from "./migrate-types.ts";
import { ZONE_INDEXES } from "./zone-index.ts";

/** Word index of a struct zone. */
export type ZoneRef = Pointer;

/** Positions in `zone.watermark`; the low bits of the allocation flags select one. */
export const Watermark = { MIN: 0, LOW: 1, HIGH: 2, PROMO: 3 } as const;

/** Bits of `zone.flags`. */
export const ZoneFlag = {
  /** A fallback raised the marks: kswapd is to be woken. */
  BOOSTED_WATERMARK: 1 << 0,
  /** kswapd is reclaiming here: page lists stay short. */
  RECLAIM_ACTIVE: 1 << 1,
  /** An allocation found fewer free pages than the high mark. */
  BELOW_HIGH: 1 << 2,
} as const;

export const Zone = struct("zone", {
  /** ZoneIndex. */
  index: word("boot"),
  node: word("boot"),
  startPfn: word("boot", "pfn"),
  /** Frames from the first to the last, holes included. */
  spannedPages: word("boot", "counter"),
  presentPages: word("boot", "counter"),
  /** Frames that the buddy allocator was given. */
  managedPages: word("hint:atomic", "counter"),
  cmaPages: word("boot", "counter"),
  initialized: word("boot", "flags"),
  pagesetHighMin: word("lock:pcp_batch_high_lock", "counter"),
  pagesetHighMax: word("lock:pcp_batch_high_lock", "counter"),
  /** Free pages below which the unfolded per-CPU deltas could hide a broken mark. */
  percpuDriftMark: word("hint:zone.lock", "counter"),
  watermarkBoost: word("hint:zone.lock", "counter"),
  /** Pages in pageblocks of the HIGHATOMIC type, and those of them that are free. */
  nrReservedHighatomic: word("hint:zone.lock", "counter"),
  nrFreeHighatomic: word("hint:zone.lock", "counter"),
  /** Pages kept from allocations whose highest zone is this index. */
  lowmemReserve: array(ZONE_INDEXES, "hint:zone.lock", "counter"),

  /** From here on what every allocation or free reads. */
  pagesetBatch: word("lock:pcp_batch_high_lock", "counter"),
  /** min, low, high, promo, in pages. */
  watermark: array(4, "hint:zone.lock", "counter"),
  flags: word("hint:atomic", "flags"),
  /** `zone number << 8`: what `page.buddy` holds above the order. */
  buddyTag: word("boot"),
  /** per_cpu_pages of CPU 0; the others are one unit apart. */
  pageset: word("boot", "pointer:per_cpu_pages"),
  /** per_cpu_zonestat of CPU 0. */
  zonestats: word("boot", "pointer:per_cpu_zonestat"),

  lineLock: pad(),
  /** A spinlock: free lists, pageblock types, HIGHATOMIC counts. */
  lock: embed(SpinLock, "atomic"),
  freeArea: embed(FreeArea, "lock:zone.lock", ORDERS),

  lineCompaction: pad(),
  compactCachedFreePfn: word("hint:holder", "pfn"),
  /** Async and sync scanners. */
  compactCachedMigratePfn: array(2, "hint:holder", "pfn"),
  compactInitMigratePfn: word("hint:holder", "pfn"),
  compactInitFreePfn: word("hint:holder", "pfn"),
  compactConsidered: word("hint:holder", "counter"),
  compactDeferShift: word("hint:holder", "counter"),
  compactOrderFailed: word("hint:holder"),
  compactBlockskipFlush: word("hint:holder", "flags"),
  contiguous: word("boot", "flags"),

  lineCounters: pad(),
  stat: array(ZONE_STAT_NAMES.length, "hint:atomic", "counter"),
  end: pad(),
});
/** Words from one zone to the next. */
export const ZONE_WORDS = wordsIn(Zone);
