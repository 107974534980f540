/**
 * What the page allocator asks of the layers above it when memory is short.  Reclaim, compaction and the OOM killer
 * install themselves here; without them each answers that it could do nothing.
 *
 * Linux: mm/vmscan.c wakeup_kswapd, try_to_free_pages; mm/compaction.c try_to_compact_pages; mm/oom_kill.c
 * out_of_memory.
 */

import type { Pfn, Pointer } from "../../memory/units.ts";
import type { ZoneRef } from "./zone.ts";

/** One allocation on its way through the slow path.  Linux: struct alloc_context. */
export interface AllocRequest {
  gfp: number;
  readonly order: number;
  /** The zonelist's first entry that suits, and the highest zone allowed. */
  readonly first: Pointer;
  readonly highestZone: number;
  readonly type: number;
  /** Nodes allowed, one bit each; -1 all. */
  readonly nodeMask: number;
}

/** How a compaction attempt ended.  Linux: enum compact_result. */
export const CompactResult = {
  /** Compaction was not tried: not enough free pages to work with, or it has failed too recently. */
  SKIPPED: 0,
  DEFERRED: 1,
  /** All of the zone was scanned in vain. */
  COMPLETE: 2,
  CONTENDED: 3,
  SUCCESS: 4,
} as const;

/** How hard compaction tries; lower numbers try harder.  Linux: enum compact_priority. */
export const CompactPriority = { SYNC_FULL: 0, SYNC_LIGHT: 1, ASYNC: 2 } as const;

/** Bits of what the running task may do.  Linux: PF_MEMALLOC*, tsk_is_oom_victim. */
export const TaskRight = {
  /** Reclaims memory itself: gets what it needs, and never waits for reclaim. */
  MEMALLOC: 1,
  NOIO: 2,
  NOFS: 4,
  OOM_VICTIM: 8,
} as const;

export interface ReclaimHooks {
  /** Wakes the zone's kswapd for a block of `order`. */
  wakeKswapd(zone: ZoneRef, order: number, highestZone: number, gfp: number): void;
  /** Frees pages; returns how many. */
  directReclaim(request: AllocRequest): number;
  /** Moves pages to make a block; may return one that it has captured. */
  directCompact(request: AllocRequest, priority: number): { result: number; captured: Pfn };
  /** Kills for memory; true when memory is on its way. */
  outOfMemory(request: AllocRequest): boolean;
  /** Pages of the zone that reclaim could free.  Linux: zone_reclaimable_pages. */
  reclaimablePages(zone: ZoneRef): number;
  /** TaskRight bits of whoever runs on this CPU. */
  taskRights(): number;
  /** The kernel log: allocation-failure reports. */
  report(text: string): void;
}

export const NO_RECLAIM: ReclaimHooks = {
  wakeKswapd: () => {},
  directReclaim: () => 0,
  directCompact: () => ({ result: CompactResult.SKIPPED, captured: 0 }),
  outOfMemory: () => false,
  reclaimablePages: () => 0,
  taskRights: () => 0,
  report: () => {},
};
