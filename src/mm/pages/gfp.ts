/**
 * GFP flags: where memory may come from, how it will be used, and what the allocator may do to get it.
 *
 * Linux: include/linux/gfp_types.h, include/linux/gfp.h gfp_zone, gfp_migratetype; mm/page_alloc.c gfp_to_alloc_flags.
 */

import { bug } from "../../memory/bug.ts";
import { AllocFlag } from "./alloc-flags.ts";
import { MigrateType } from "./migrate-types.ts";
import { ZoneIndex } from "./zone-index.ts";

/** Single flags, Linux's `__GFP_*`. */
export const GfpFlag = {
  DMA: 0x01,
  HIGHMEM: 0x02,
  DMA32: 0x04,
  MOVABLE: 0x08,
  RECLAIMABLE: 0x10,
  /** May use the emergency reserves. */
  HIGH: 0x20,
  IO: 0x40,
  FS: 0x80,
  ZERO: 0x100,
  /** May wait and reclaim. */
  DIRECT_RECLAIM: 0x400,
  /** May wake kswapd. */
  KSWAPD_RECLAIM: 0x800,
  WRITE: 0x1000,
  NOWARN: 0x2000,
  RETRY_MAYFAIL: 0x4000,
  NOFAIL: 0x8000,
  NORETRY: 0x1_0000,
  MEMALLOC: 0x2_0000,
  COMP: 0x4_0000,
  NOMEMALLOC: 0x8_0000,
  HARDWALL: 0x10_0000,
  THISNODE: 0x20_0000,
  ACCOUNT: 0x40_0000,
  ZEROTAGS: 0x80_0000,
  /** The caller initialises the pages: __GFP_ZERO is not acted upon. */
  SKIP_ZERO: 0x100_0000,
} as const;

const F = GfpFlag;
const RECLAIM = F.DIRECT_RECLAIM | F.KSWAPD_RECLAIM;
const KERNEL = RECLAIM | F.IO | F.FS;
const USER = KERNEL | F.HARDWALL;
const HIGHUSER_MOVABLE = USER | F.HIGHMEM | F.MOVABLE;
const TRANSHUGE_LIGHT = (HIGHUSER_MOVABLE | F.COMP | F.NOMEMALLOC | F.NOWARN) & ~RECLAIM;

/** Combinations, Linux's `GFP_*`. */
export const Gfp = {
  ATOMIC: F.HIGH | F.KSWAPD_RECLAIM,
  KERNEL,
  KERNEL_ACCOUNT: KERNEL | F.ACCOUNT,
  NOWAIT: F.KSWAPD_RECLAIM | F.NOWARN,
  NOIO: RECLAIM,
  NOFS: RECLAIM | F.IO,
  USER,
  DMA: F.DMA,
  DMA32: F.DMA32,
  HIGHUSER: USER | F.HIGHMEM,
  HIGHUSER_MOVABLE,
  TRANSHUGE_LIGHT,
  TRANSHUGE: TRANSHUGE_LIGHT | F.DIRECT_RECLAIM,
  /** Both ways of reclaim.  Linux: __GFP_RECLAIM. */
  RECLAIM,
} as const;

const INVALID = -1;
/** By the four zone modifiers; more than one of DMA, HIGHMEM and DMA32 is a mistake of the caller. */
const ZONE_OF_MODIFIERS: readonly number[] = [
  ZoneIndex.NORMAL,
  ZoneIndex.DMA,
  ZoneIndex.HIGHMEM,
  INVALID,
  ZoneIndex.DMA32,
  INVALID,
  INVALID,
  INVALID,
  ZoneIndex.NORMAL, // MOVABLE alone says how the page is used, not where it may lie
  ZoneIndex.DMA,
  ZoneIndex.MOVABLE, // MOVABLE | HIGHMEM
  INVALID,
  ZoneIndex.DMA32,
  INVALID,
  INVALID,
  INVALID,
];
const ZONE_MODIFIERS = F.DMA | F.HIGHMEM | F.DMA32 | F.MOVABLE;

/** The highest zone that the allocation may use.  Linux: gfp_zone. */
export function gfpZone(gfp: number): number {
  const zone = ZONE_OF_MODIFIERS[gfp & ZONE_MODIFIERS];
  if (zone < 0) reportZoneModifiers(gfp);
  return zone;
}

/** Whether zone modifiers and mobility go together: where not, `gfpZone` or `gfpMigrateType` report a bug. */
export function gfpIsSound(gfp: number): boolean {
  return ZONE_OF_MODIFIERS[gfp & ZONE_MODIFIERS] >= 0 && ((gfp >> 3) & 3) !== 3;
}

/** Linux: gfp_migratetype. */
export function gfpMigrateType(gfp: number): number {
  const mobility = (gfp >> 3) & 3;
  if (mobility === 3) reportMobility(gfp);
  return mobility;
}

/** The rights of the slow path: the min mark, and the reserves for who may not wait.  Linux: gfp_to_alloc_flags. */
export function gfpToAllocFlags(gfp: number, order: number): number {
  let flags = AllocFlag.WMARK_MIN | AllocFlag.CPUSET | (gfp & (F.HIGH | F.KSWAPD_RECLAIM));
  if ((gfp & F.DIRECT_RECLAIM) === 0) {
    if ((gfp & F.NOMEMALLOC) === 0) {
      flags |= AllocFlag.NON_BLOCK;
      if (order > 0 && (flags & AllocFlag.MIN_RESERVE) !== 0) flags |= AllocFlag.HIGHATOMIC;
    }
    if ((flags & AllocFlag.MIN_RESERVE) !== 0) flags &= ~AllocFlag.CPUSET;
  }
  return flags | cmaRight(gfp);
}

/** Movable pages may lie in CMA areas.  Linux: gfp_to_alloc_flags_cma. */
export function cmaRight(gfp: number): number {
  return ((gfp >> 3) & 3) === MigrateType.MOVABLE ? AllocFlag.CMA : 0;
}

function reportZoneModifiers(gfp: number): never {
  bug(`gfp 0x${gfp.toString(16)}: at most one of __GFP_DMA, __GFP_HIGHMEM and __GFP_DMA32 may be set`);
}

function reportMobility(gfp: number): never {
  bug(`gfp 0x${gfp.toString(16)}: __GFP_MOVABLE and __GFP_RECLAIMABLE exclude each other`);
}
