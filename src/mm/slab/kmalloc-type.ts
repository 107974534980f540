/**
 * The types of kmalloc's caches: each class of sizes has a cache of each, and a request's flags choose.
 *
 * Linux: include/linux/slab.h enum kmalloc_cache_type, kmalloc_type; mm/slab_common.c kmalloc_info.
 */

import { GfpFlag } from "../pages/gfp.ts";
import { KMALLOC_SIZES } from "./kmalloc-index.ts";

/** Which caches a request goes to, by its flags.  Linux: enum kmalloc_cache_type. */
export const KmallocType = { NORMAL: 0, RECLAIM: 1, DMA: 2, CGROUP: 3 } as const;
export const KMALLOC_TYPES = 4;

const PREFIX: readonly string[] = ["kmalloc-", "kmalloc-rcl-", "dma-kmalloc-", "kmalloc-cg-"];
const { DMA, RECLAIMABLE, ACCOUNT } = GfpFlag;
const NOT_NORMAL = DMA | RECLAIMABLE | ACCOUNT;

/**
 * DMA goes before reclaimable, that before accounted.  A machine without ZONE_DMA has no caches for it: its requests are
 * ordinary ones.
 */
export function kmallocType(gfp: number, hasDmaZone: boolean): number {
  if ((gfp & NOT_NORMAL) === 0) return KmallocType.NORMAL;
  if ((gfp & DMA) !== 0 && hasDmaZone) return KmallocType.DMA;
  if ((gfp & RECLAIMABLE) !== 0) return KmallocType.RECLAIM;
  return (gfp & ACCOUNT) !== 0 ? KmallocType.CGROUP : KmallocType.NORMAL;
}

/** "kmalloc-96", "kmalloc-rcl-1k", "dma-kmalloc-8k", "kmalloc-cg-16". */
export function kmallocName(type: number, index: number): string {
  const bytes = KMALLOC_SIZES[index];
  return PREFIX[type] + (bytes >= 1024 ? `${bytes / 1024}k` : bytes);
}
