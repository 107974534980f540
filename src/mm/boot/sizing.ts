/**
 * The formulas by which Linux sizes zones' reserves, page lists and counters.  Pure functions of page counts.
 *
 * Linux: mm/page_alloc.c, mm/vmstat.c, mm/khugepaged.c, mm/vmscan.c.  All divisions round down, as there.
 */

import { PAGE_BYTES } from "../../memory/units.ts";
import { PAGEBLOCK_PAGES, PCP_TYPES } from "../pages/migrate-types.ts";
import { ZoneIndex } from "../pages/zone-index.ts";

const PAGE_KIB = PAGE_BYTES / 1024;
/** Pages that reclaim takes at a time; a zone that user memory fills keeps no less.  Linux: SWAP_CLUSTER_MAX. */
const SWAP_CLUSTER_MAX = 32;
const MIN_FREE_KBYTES_MIN = 128;
const MIN_FREE_KBYTES_MAX = 262_144;
const MAX_THRESHOLD = 125;
/** Page lists of all CPUs together never hold more than 1/8 of a zone.  Linux: MIN_PERCPU_PAGELIST_HIGH_FRACTION. */
const PAGELIST_HIGH_FRACTION = 8;
const MIB_PAGES = 2 ** 20 / PAGE_BYTES;
const GIB_PAGES = 2 ** 30 / PAGE_BYTES;
const PAGES_128_MIB = 2 ** 27 / PAGE_BYTES;

export interface Watermarks {
  readonly min: number;
  readonly low: number;
  readonly high: number;
  readonly promo: number;
}

/** `lowmemPages`: managed pages above the high marks in the zones that GFP_USER may use.  Linux: calculate_min_free_kbytes. */
export function minFreeKbytes(lowmemPages: number): number {
  const kbytes = Math.floor(Math.sqrt(lowmemPages * PAGE_KIB * 16));
  return clamp(kbytes, MIN_FREE_KBYTES_MIN, MIN_FREE_KBYTES_MAX);
}

/**
 * What huge pages ask for: pageblocks enough in each populated zone that the types need not mix, up to 5 % of low
 * memory.  Linux: set_recommended_min_free_kbytes.
 */
export function hugePageMinFreeKbytes(populatedZones: number, lowmemPages: number): number {
  const pages = PAGEBLOCK_PAGES * populatedZones * (2 + PCP_TYPES * PCP_TYPES);
  return Math.min(pages, Math.floor(lowmemPages / 20)) * PAGE_KIB;
}

/**
 * Marks of a zone with `managed` pages, of `lowmemManaged` in all zones but HIGHMEM and MOVABLE.  `scaleFactor` is in
 * 1/10000 of the zone.  Linux: __setup_per_zone_wmarks.
 */
export function zoneWatermarks(options: {
  zoneIndex: number;
  managed: number;
  lowmemManaged: number;
  minFreeKbytes: number;
  scaleFactor: number;
}): Watermarks {
  const { zoneIndex, managed, lowmemManaged } = options;
  const pages = Math.floor(options.minFreeKbytes / PAGE_KIB);
  const share = lowmemManaged === 0 ? 0 : Math.floor((pages * managed) / lowmemManaged);
  // Nobody depends on these zones for memory to make progress with: a little is enough, whatever their size.
  const holdsUserPages = zoneIndex === ZoneIndex.HIGHMEM || zoneIndex === ZoneIndex.MOVABLE;
  const min = holdsUserPages ? clamp(Math.floor(managed / 1024), SWAP_CLUSTER_MAX, 128) : share;
  const gap = Math.max(Math.floor(share / 4), Math.floor((managed * options.scaleFactor) / 10_000));
  return { min, low: min + gap, high: min + 2 * gap, promo: min + 3 * gap };
}

/**
 * `result[i][j]`: pages of zone `i` kept from allocations that could have used zone `j`.  All arguments are indexed by
 * zone index of one node.  Linux: setup_per_zone_lowmem_reserve.
 */
export function lowmemReserves(managed: readonly number[], ratios: readonly number[]): number[][] {
  return managed.map((own, i) => {
    const isClear = ratios[i] < 1 || own === 0;
    let above = 0;
    return managed.map((pages, j) => {
      if (j <= i) return 0;
      above += pages;
      return isClear ? 0 : Math.floor(above / ratios[i]);
    });
  });
}

/** Sizes of a zone's per-CPU page lists. */
export interface PageListSizes {
  readonly batch: number;
  readonly highMin: number;
  readonly highMax: number;
}

/**
 * `nodeCpus`: CPUs of the zone's node; `highFraction`: vm.percpu_pagelist_high_fraction, 0 to tune automatically;
 * `batch`, `high`: given by hand, 0 by the formulas.
 * Linux: zone_batchsize, zone_highsize, zone_set_pageset_high_and_batch.
 */
export function pageListSizes(options: {
  managed: number;
  low: number;
  nodeCpus: number;
  cpus: number;
  highFraction: number;
  batch?: number;
  high?: number;
}): PageListSizes {
  const { managed, low, highFraction, high = 0 } = options;
  const quarter = Math.max(1, Math.floor(Math.min(managed >> 10, MIB_PAGES) / 4));
  const batch = options.batch || Math.max(1, roundDownPowerOf2(quarter + (quarter >> 1)) - 1);
  if (high !== 0) return { batch, highMin: Math.max(high, batch), highMax: Math.max(high, batch) };
  const sharers = options.nodeCpus === 0 ? options.cpus : options.nodeCpus;
  const share = (pages: number) => Math.max(Math.floor(pages / sharers), 4 * batch);
  if (highFraction !== 0) {
    const fixed = share(Math.floor(managed / highFraction));
    return { batch, highMin: fixed, highMax: fixed };
  }
  return { batch, highMin: share(low), highMax: share(Math.floor(managed / PAGELIST_HIGH_FRACTION)) };
}

/** How far a CPU's counter may stray before it is folded.  Linux: calculate_normal_threshold, calculate_pressure_threshold. */
export const statThreshold = {
  normal: (cpus: number, managed: number): number =>
    Math.min(MAX_THRESHOLD, 2 * fls(cpus) * (1 + fls(Math.floor(managed / PAGES_128_MIB)))),
  pressure: (cpus: number, marks: Watermarks): number =>
    clamp(Math.floor((marks.low - marks.min) / cpus), 1, MAX_THRESHOLD),
};

/** How many times larger the active list may be than the inactive one.  Linux: mm/vmscan.c inactive_is_low. */
export function inactiveRatio(pages: number): number {
  const gib = Math.floor(pages / GIB_PAGES);
  return gib === 0 ? 1 : Math.floor(Math.sqrt(10 * gib));
}

/** Position of the highest set bit, from 1; 0 for 0. */
const fls = (value: number): number => 32 - Math.clz32(value);
const roundDownPowerOf2 = (value: number): number => 1 << (fls(value) - 1);
const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);
