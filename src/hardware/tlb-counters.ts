/**
 * What a TLB counts: float64s at its beginning, in this order.
 *
 * Every access is a hit of the first level with a small or a large page, a hit of the second level, a walk, or a fault.
 */

/** Position of each counter. */
export const TlbCounter = {
  HITS: 0,
  SHARED_HITS: 1,
  WALKS: 2,
  FAULTS: 3,
  FLUSHES_ALL: 4,
  FLUSHES_PAGE: 5,
  WALK_CACHE_HITS: 6,
  LARGE_HITS: 7,
  BROADCASTS: 8,
} as const;

const NAMES = [
  "hits",
  "sharedHits",
  "walks",
  "faults",
  "flushesAll",
  "flushesPage",
  "walkCacheHits",
  "largeHits",
  "broadcasts",
] as const;

export type TlbCounters = Readonly<Record<(typeof NAMES)[number], number>>;

/** All counters by name; `read` gives the one at a position. */
export const countersBy = (read: (position: number) => number): TlbCounters =>
  Object.fromEntries(NAMES.map((name, i) => [name, read(i)])) as TlbCounters;
