/**
 * Flags of an object cache, with Linux's names and places.
 *
 * Linux: include/linux/slab.h enum _slab_flag_bits (6.12, with CONFIG_MEMCG); mm/slab.h SLAB_DEBUG_FLAGS.  Those for tools
 * that are not here (KASAN, failslab, kmemleak) have no names.
 */

export const SlabFlag = {
  /** Debugging: what a slab says of itself, and free lists, are checked at each allocation and free. */
  CONSISTENCY_CHECKS: 1 << 0,
  /** Debugging: bytes around an object that nobody may write. */
  RED_ZONE: 1 << 1,
  /** Debugging: free objects and padding hold known bytes. */
  POISON: 1 << 2,
  /** One of the kmalloc classes. */
  KMALLOC: 1 << 3,
  /** Objects start on cache lines, or several small ones share one evenly. */
  HWCACHE_ALIGN: 1 << 4,
  /** Slabs come from ZONE_DMA. */
  CACHE_DMA: 1 << 5,
  /** Slabs come from ZONE_DMA32. */
  CACHE_DMA32: 1 << 6,
  /** Debugging: who took and who freed an object last. */
  STORE_USER: 1 << 7,
  /** A cache that cannot be made stops the machine. */
  PANIC: 1 << 8,
  /** The pages of a slab go back only after a grace period: a reader may look at a freed object, which stays of its type. */
  TYPESAFE_BY_RCU: 1 << 9,
  /** The cache shares its slabs with no other. */
  NO_MERGE: 1 << 12,
  /** Objects are charged to the one who asks for them. */
  ACCOUNT: 1 << 13,
  /** Slabs are grouped with, and counted as, what can be reclaimed. */
  RECLAIM_ACCOUNT: 1 << 17,
} as const;

/** All of them: others are refused. */
export const SLAB_FLAGS = Object.values(SlabFlag).reduce((all, flag) => all | flag, 0);

const { CONSISTENCY_CHECKS, RED_ZONE, POISON, STORE_USER } = SlabFlag;
/** A cache with any of them has no CPU slabs: every allocation and free goes through its checks. */
export const SLAB_DEBUG_FLAGS = CONSISTENCY_CHECKS | RED_ZONE | POISON | STORE_USER;
/** Those that need room beside the objects.  Linux: DEBUG_METADATA_FLAGS. */
export const SLAB_METADATA_FLAGS = RED_ZONE | POISON | STORE_USER;
