/**
 * What an allocation may do inside the page allocator, derived from its GFP flags.
 *
 * Linux: mm/internal.h ALLOC_*.  MIN_RESERVE and KSWAPD have the values of __GFP_HIGH and __GFP_KSWAPD_RECLAIM, so that
 * they pass over by a mask.
 */

export const AllocFlag = {
  /** The low two bits select zone.watermark. */
  WMARK_MIN: 0,
  WMARK_LOW: 1,
  WMARK_HIGH: 2,
  WMARK_MASK: 3,
  NO_WATERMARKS: 0x004,
  /** An OOM victim: half of the reserves. */
  OOM: 0x008,
  /** May not wait: a quarter of what is left of the reserve. */
  NON_BLOCK: 0x010,
  /** __GFP_HIGH: half of the min reserve. */
  MIN_RESERVE: 0x020,
  CPUSET: 0x040,
  /** Movable: may take from CMA areas. */
  CMA: 0x080,
  /** No mixing of types below pageblock order. */
  NOFRAGMENT: 0x100,
  /** A high-order atomic allocation: may take from the HIGHATOMIC reserve. */
  HIGHATOMIC: 0x200,
  KSWAPD: 0x800,
} as const;

/** Any right to the reserves.  Linux: ALLOC_RESERVES. */
export const ALLOC_RESERVES = AllocFlag.NON_BLOCK | AllocFlag.MIN_RESERVE | AllocFlag.OOM;
