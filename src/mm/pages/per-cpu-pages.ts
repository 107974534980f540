/**
 * `struct per_cpu_pages`: one CPU's lists of free blocks of one zone.
 *
 * Linux: include/linux/mmzone.h struct per_cpu_pages, mm/page_alloc.c order_to_pindex.
 */

import { align, array, embed, pad, struct, word, wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { COSTLY_ORDER, MigrateType, PAGEBLOCK_ORDER, PCP_TYPES } from "./migrate-types.ts";

/** Word index of a struct per_cpu_pages. */
export type PcpRef = Pointer;

/** Three types times orders 0-3, then order 9 for movable pages and for the others. */
const LOW_LISTS = PCP_TYPES * (COSTLY_ORDER + 1);
export const PCP_LISTS = LOW_LISTS + 2;

/** Doublings of a batch at most.  Linux: CONFIG_PCP_BATCH_SCALE_MAX. */
export const BATCH_SCALE_MAX = 5;

/** Bits of `per_cpu_pages.flags`. */
export const PcpFlag = {
  /** The last free was of order 1 to 3. */
  PREV_FREE_HIGH_ORDER: 1 << 0,
  /** The CPU's share of the last-level cache holds several batches: a batch may stay before freeing in bulk. */
  FREE_HIGH_BATCH: 1 << 1,
} as const;

export const PerCpuPages = struct("per_cpu_pages", {
  /** A spinlock, always taken by trylock on the allocation and free paths. */
  lock: embed(SpinLock, "atomic"),
  /** Pages on all lists. */
  count: word("hint:pcp.lock", "counter"),
  /** Pages at which a free gives some back; tunes itself between highMin and highMax. */
  high: word("hint:owner-cpu", "counter"),
  highMin: word("hint:pcp_batch_high_lock", "counter"),
  highMax: word("hint:pcp_batch_high_lock", "counter"),
  /** Pages moved to or from the zone at a time. */
  batch: word("hint:pcp_batch_high_lock", "counter"),
  flags: word("lock:pcp.lock", "flags"),
  /** Doublings of the next refill. */
  allocFactor: word("lock:pcp.lock", "counter"),
  /** 6.12: pages freed without an allocation between.  6.0: doublings of the next bulk free. */
  freeCount: word("lock:pcp.lock", "counter"),
  /** Ticks until the pages of a remote node are given back; 0 never. */
  expire: word("owner-cpu", "counter"),
  linesLists: align(2),
  /** List heads: next and prev for each list. */
  lists: array(2 * PCP_LISTS, "lock:pcp.lock", "pointer:list_head"),
  end: pad(),
});
/** Words from one zone's per_cpu_pages to the next. */
export const PCP_WORDS = wordsIn(PerCpuPages);

/** The list of blocks of `order` and `type`.  Linux: order_to_pindex. */
export const pcpListIndex = (type: number, order: number): number =>
  order > COSTLY_ORDER ? LOW_LISTS + (type === MigrateType.MOVABLE ? 1 : 0) : PCP_TYPES * order + type;

/** The order of the blocks on list `index`.  Linux: pindex_to_order. */
export const pcpListOrder = (index: number): number =>
  index >= LOW_LISTS ? PAGEBLOCK_ORDER : (index / PCP_TYPES) | 0;

/** Whether blocks of this order have a per-CPU list.  Linux: pcp_allowed_order. */
export const pcpAllowedOrder = (order: number): boolean => order <= COSTLY_ORDER || order === PAGEBLOCK_ORDER;
