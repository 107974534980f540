/**
 * The state word of a maple node: what kind it is, and the last slot in use.
 *
 *   (kind, end)   LEAF or INNER, 0 to 15   ->   DEAD, 0      once, when it has been replaced
 */

export const MapleKind = { LEAF: 1, INNER: 2, DEAD: 3 } as const;

/** Slots at most. */
export const LEAF_SLOTS = 16;
export const INNER_SLOTS = 10;

export const stateOf = (kind: number, end: number): number => kind | (end << 8);
export const kindOf = (state: number): number => state & 0xff;
/** The last slot in use. */
export const endOf = (state: number): number => state >> 8;

export const capacityOf = (kind: number): number => (kind === MapleKind.LEAF ? LEAF_SLOTS : INNER_SLOTS);
/** Slots below which a node takes a neighbour's in.  Linux: mt_min_slot_count. */
export const minSlotsOf = (kind: number): number => capacityOf(kind) / 2 - 1;
