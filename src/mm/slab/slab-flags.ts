/**
 * Flags of an object cache, with Linux's names and places.
 *
 * Linux: include/linux/slab.h enum _slab_flag_bits.  The debugging flags are not here: see docs/LIMITS.md.
 */

export const SlabFlag = {
  /** Objects start on cache lines, or several small ones share one evenly. */
  HWCACHE_ALIGN: 1 << 3,
  /** Slabs come from ZONE_DMA. */
  CACHE_DMA: 1 << 4,
  /** A cache that cannot be made stops the machine. */
  PANIC: 1 << 6,
  /** Slabs are grouped with, and counted as, what can be reclaimed. */
  RECLAIM_ACCOUNT: 1 << 9,
} as const;

/** All of them: others are refused. */
export const SLAB_FLAGS = Object.values(SlabFlag).reduce((all, flag) => all | flag, 0);
