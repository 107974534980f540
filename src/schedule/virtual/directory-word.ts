/**
 * The directory word of a cache line: (version, moves, exclusive, owner).
 */

const OWNER_BITS = 9;
export const OWNER_MASK = (1 << OWNER_BITS) - 1;
export const EXCLUSIVE = 1 << OWNER_BITS;
/** The line has moved from one CPU to another once (as what the boot CPU wrote does), or more often: several use it. */
export const MOVED_ONCE = 1 << (OWNER_BITS + 1);
export const MOVED = 1 << (OWNER_BITS + 2);
export const VERSION_SHIFT = OWNER_BITS + 3;

/** The directory word of a line that goes to another CPU than its owner. */
export function afterMove(word: number): number {
  return (word & MOVED_ONCE) === 0 ? word | MOVED_ONCE : word | MOVED;
}
