/**
 * Migrate types: what a pageblock's pages may become, so that what can be moved lies apart from what cannot.
 *
 * Linux: include/linux/mmzone.h enum migratetype, mm/page_alloc.c fallbacks[].
 */

export const MAX_ORDER = 10;
export const ORDERS = MAX_ORDER + 1;
export const PAGEBLOCK_ORDER = 9;
export const PAGEBLOCK_PAGES = 1 << PAGEBLOCK_ORDER;
/** Orders above this are expensive to make and are not retried without limit. */
export const COSTLY_ORDER = 3;

export const MigrateType = {
  UNMOVABLE: 0,
  MOVABLE: 1,
  RECLAIMABLE: 2,
  HIGHATOMIC: 3,
  CMA: 4,
  ISOLATE: 5,
} as const;
export const MIGRATE_TYPES = 6;
/** The first types, up to this, have per-CPU page lists. */
export const PCP_TYPES = 3;

/** As /proc/pagetypeinfo prints them. */
export const MIGRATE_TYPE_NAMES: readonly string[] = [
  "Unmovable",
  "Movable",
  "Reclaimable",
  "HighAtomic",
  "CMA",
  "Isolate",
];

/** Whether free blocks of this type may merge with blocks of another such type.  Linux: migratetype_is_mergeable. */
export const isMergeable = (type: number): boolean => type < PCP_TYPES;

/**
 * Where a type looks when its own lists are empty, in order; two entries a type, from `type * 2`.  HIGHATOMIC, CMA and
 * ISOLATE have none.
 */
export const FALLBACKS: readonly number[] = [
  MigrateType.RECLAIMABLE,
  MigrateType.MOVABLE,
  MigrateType.RECLAIMABLE,
  MigrateType.UNMOVABLE,
  MigrateType.UNMOVABLE,
  MigrateType.MOVABLE,
];
