/**
 * The directory word of a cache line: (version, exclusive, owner), and how it changes.
 *
 *   read miss:   (v, 1, other) -> (v, 0, other)        transfer from `other`
 *   write miss:  (v, *, *)     -> (v+1, 1, self)       transfer, upgrade, or memory
 *
 * The version counts writers; a CPU whose copy is of an older version has none.  Papamarcos and Patel (MESI), ISCA 1984,
 * reduced to what a timing needs.
 */

/** log2 of the words of a line. */
export const LINE_SHIFT = 4;

const OWNER_BITS = 9;
export const OWNER_MASK = (1 << OWNER_BITS) - 1;
export const EXCLUSIVE = 1 << OWNER_BITS;
export const VERSION_SHIFT = OWNER_BITS + 1;

/** The word after `cpu` has got the line to write it. */
export const ownedBy = (word: number, cpu: number): number =>
  (((word >>> VERSION_SHIFT) + 1) << VERSION_SHIFT) | EXCLUSIVE | cpu;

/** Lines of a set of a CPU's cache. */
export const WAYS = 4;
/** log2 of the words of a set: two a way. */
export const SET_SHIFT = 3;
/** The set of a line is `line ^ (line >> SET_SPREAD)`: lines a power of two apart, such as heads of blocks, share none. */
export const SET_SPREAD = 9;
