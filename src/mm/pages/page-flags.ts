/**
 * Bits of `page.flags`: state in the low bits, the frame's zone and node in the high ones.
 *
 * A frame's zone number is `node * ZONE_SLOTS + zone index`, so that one shift finds its zone.
 *
 * Linux: include/linux/page-flags.h enum pageflags, page-flags-layout.h.
 */

export const PageFlag = {
  LOCKED: 1 << 0,
  WRITEBACK: 1 << 1,
  REFERENCED: 1 << 2,
  UPTODATE: 1 << 3,
  DIRTY: 1 << 4,
  LRU: 1 << 5,
  HEAD: 1 << 6,
  WAITERS: 1 << 7,
  ACTIVE: 1 << 8,
  WORKINGSET: 1 << 9,
  ERROR: 1 << 10,
  OWNER_PRIVATE: 1 << 11,
  ARCH: 1 << 12,
  RESERVED: 1 << 13,
  PRIVATE: 1 << 14,
  RECLAIM: 1 << 15,
  SWAPBACKED: 1 << 16,
  UNEVICTABLE: 1 << 17,
  MLOCKED: 1 << 18,
  HWPOISON: 1 << 19,
  /** Not in Linux's flags word: the page may be moved though it is on no LRU list (there a bit of page.mapping). */
  MOVABLE: 1 << 20,
  SWAPCACHE: 1 << 21,
} as const;

/** In bit order, as `%pGp` prints them. */
const FLAG_NAMES: readonly string[] = [
  "locked",
  "writeback",
  "referenced",
  "uptodate",
  "dirty",
  "lru",
  "head",
  "waiters",
  "active",
  "workingset",
  "error",
  "owner_priv_1",
  "arch_1",
  "reserved",
  "private",
  "reclaim",
  "swapbacked",
  "unevictable",
  "mlocked",
  "hwpoison",
  "movable",
  "swapcache",
];

/** Zone numbers of one node: room for every zone index. */
export const ZONE_SLOTS = 8;
export const MAX_NODES = 8;
/** Position of the zone number in the flags word. */
export const ZONE_SHIFT = 26;
/** The bits below the zone number. */
export const FLAGS_MASK = (1 << ZONE_SHIFT) - 1;

const F = PageFlag;
/** None of these may be set when a page is freed.  Linux: PAGE_FLAGS_CHECK_AT_FREE. */
export const FLAGS_CHECK_AT_FREE =
  F.LRU |
  F.LOCKED |
  F.PRIVATE |
  F.WRITEBACK |
  F.RESERVED |
  F.ACTIVE |
  F.UNEVICTABLE |
  F.MLOCKED |
  F.SWAPCACHE;
/** None of these may be set when a page is allocated.  Linux: PAGE_FLAGS_CHECK_AT_PREP. */
export const FLAGS_CHECK_AT_PREP = FLAGS_MASK;

/** For example `0x4000000000000028(uptodate|lru|node=0|zone=1)`: hexadecimal word, names, node and zone. */
export function formatPageFlags(flags: number): string {
  const names = FLAG_NAMES.filter((_, bit) => (flags & (1 << bit)) !== 0);
  const number = flags >>> ZONE_SHIFT;
  names.push(`node=${Math.floor(number / ZONE_SLOTS)}`, `zone=${number % ZONE_SLOTS}`);
  return `0x${(flags >>> 0).toString(16)}(${names.join("|")})`;
}
