/**
 * Watermark checks: may this allocation take from this zone, given what must stay for others?
 *
 * They read counters, marks and list heads without the zone's lock: the answer is a hint, and the lists decide.
 *
 * Linux: mm/page_alloc.c __zone_watermark_ok, zone_watermark_fast, zone_watermark_ok_safe.
 */

import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import { ALLOC_RESERVES, AllocFlag } from "./alloc-flags.ts";
import { ZoneStat } from "./counters.ts";
import { FREE_AREA_WORDS, FreeArea } from "./free-area.ts";
import { MAX_ORDER, MigrateType, PCP_TYPES } from "./migrate-types.ts";
import type { Vmstat } from "./vmstat.ts";
import { Watermark, Zone, type ZoneRef } from "./zone.ts";

const zoneField = Zone;
const areaField = FreeArea;
const { OOM, NON_BLOCK, MIN_RESERVE, CMA, HIGHATOMIC, WMARK_MASK, WMARK_MIN } = AllocFlag;
const NR_FREE_PAGES = ZoneStat.nr_free_pages;
const NR_FREE_CMA = ZoneStat.nr_free_cma;

/** A mark in pages, the boost included.  `which` is a position in zone.watermark.  Linux: wmark_pages. */
export function watermarkPages(memory: Memory, zone: ZoneRef, which: number): number {
  return memory.read(zone + zoneField.watermark + which) + memory.read(zone + zoneField.watermarkBoost);
}

/**
 * The allocator's check: order 0 by the counters alone.  A __GFP_HIGH request of order 0 ignores the boost, so that
 * the boost only wakes kswapd and fails nobody.  Linux: zone_watermark_fast.
 */
export function zoneWatermarkFast(
  memory: Memory,
  zone: ZoneRef,
  order: number,
  mark: number,
  highestZone: number,
  flags: number,
): boolean {
  const free = memory.read(zone + zoneField.stat + NR_FREE_PAGES);
  if (order === 0) {
    const usable = free - unusableFree(memory, zone, 0, flags);
    if (usable > mark + memory.read(zone + zoneField.lowmemReserve + highestZone)) return true;
  }
  if (watermarkHolds(memory, zone, order, mark, highestZone, flags, free)) return true;
  if (order !== 0 || (flags & MIN_RESERVE) === 0 || (flags & WMARK_MASK) !== WMARK_MIN) return false;
  if (memory.read(zone + zoneField.watermarkBoost) === 0) return false;
  const unboosted = memory.read(zone + zoneField.watermark + Watermark.MIN);
  return watermarkHolds(memory, zone, 0, unboosted, highestZone, flags, free);
}

/** Linux: zone_watermark_ok. */
export function zoneWatermarkOk(
  memory: Memory,
  zone: ZoneRef,
  order: number,
  mark: number,
  highestZone: number,
  flags: number,
): boolean {
  const free = memory.read(zone + zoneField.stat + NR_FREE_PAGES);
  return watermarkHolds(memory, zone, order, mark, highestZone, flags, free);
}

/** With the CPUs' deltas added where they could hide a broken mark.  Linux: zone_watermark_ok_safe. */
export function zoneWatermarkOkSafe(
  vmstat: Vmstat,
  zone: ZoneRef,
  order: number,
  mark: number,
  highestZone: number,
): boolean {
  const { memory } = vmstat;
  let free = memory.read(zone + zoneField.stat + NR_FREE_PAGES);
  if (free < memory.read(zone + zoneField.percpuDriftMark))
    free = vmstat.zoneStateSnapshot(zone, NR_FREE_PAGES);
  return watermarkHolds(memory, zone, order, mark, highestZone, 0, free);
}

/** Whether `free` pages suffice for `order` above the adjusted mark, and a block is there.  Linux: __zone_watermark_ok. */
export function watermarkHolds(
  memory: Memory,
  zone: ZoneRef,
  order: number,
  mark: number,
  highestZone: number,
  flags: number,
  free: number,
): boolean {
  const usable = free - unusableFree(memory, zone, order, flags);
  let min = mark;
  if ((flags & ALLOC_RESERVES) !== 0) {
    if ((flags & MIN_RESERVE) !== 0) {
      min -= min >> 1;
      if ((flags & NON_BLOCK) !== 0) min -= min >> 2;
    }
    if ((flags & OOM) !== 0) min -= min >> 1;
  }
  if (usable <= min + memory.read(zone + zoneField.lowmemReserve + highestZone)) return false;
  return order === 0 || hasBlock(memory, zone, order, flags);
}

/** Free pages that this request cannot have.  Linux: __zone_watermark_unusable_free. */
function unusableFree(memory: Memory, zone: ZoneRef, order: number, flags: number): number {
  let unusable = (1 << order) - 1;
  if ((flags & ALLOC_RESERVES) === 0) unusable += memory.read(zone + zoneField.nrFreeHighatomic);
  if ((flags & CMA) === 0) unusable += memory.read(zone + zoneField.stat + NR_FREE_CMA);
  return unusable;
}

function hasBlock(memory: Memory, zone: ZoneRef, order: number, flags: number): boolean {
  for (let at = order; at <= MAX_ORDER; at++) {
    const area = zone + zoneField.freeArea + at * FREE_AREA_WORDS;
    if (memory.read(area + areaField.nrFree) === 0) continue;
    for (let type = 0; type < PCP_TYPES; type++) {
      if (!isEmpty(memory, area + areaField.lists + 2 * type)) return true;
    }
    if ((flags & CMA) !== 0 && !isEmpty(memory, area + areaField.lists + 2 * MigrateType.CMA)) return true;
    if ((flags & (HIGHATOMIC | OOM)) === 0) continue;
    if (!isEmpty(memory, area + areaField.lists + 2 * MigrateType.HIGHATOMIC)) return true;
  }
  return false;
}

function isEmpty(memory: Memory, head: Pointer): boolean {
  return memory.read(head) === head;
}
