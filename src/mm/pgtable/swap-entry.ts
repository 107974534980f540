/**
 * Entries without PRESENT that say where a page is instead, or why there is none: bit for bit those of Linux on x86-64.
 *
 *   bit  63..59 | 58..9   | 8 | 7 | 6 5 4 | 3         | 2       | 1          | 0
 *        type   | ~offset | 0 | 0 | 0     | EXCLUSIVE | UFFD_WP | SOFT_DIRTY | 0
 *
 * The offset is inverted, so that the frame which a processor might guess from it lies beyond all memory (L1TF).  Bit 8, GLOBAL,
 * would be PROT_NONE.  The low word has the flags and the offset's low 23 bits; it may be 0, so that an entry is empty only if both
 * words are.
 *
 * An entry of a type from HWPOISON on names a frame instead of a place in swap, and a marker neither.
 *
 * Linux: arch/x86/include/asm/pgtable_64.h, include/linux/swapops.h, include/linux/swap.h (MAX_SWAPFILES and what follows, with
 * memory failure, migration and device-private memory configured).
 */

import type { Pfn } from "../../memory/units.ts";

/** Types of swap entries that are none: the frame moves, or must not be used.  Linux: SWP_MIGRATION_READ and its kin. */
export const SwapType = {
  HWPOISON: 23,
  MIGRATION_READ: 24,
  MIGRATION_READ_EXCLUSIVE: 25,
  MIGRATION_WRITE: 26,
  MARKER: 31,
} as const;

/** Flags of a swap entry.  Linux: _PAGE_SWP_SOFT_DIRTY, _PAGE_SWP_UFFD_WP, _PAGE_SWP_EXCLUSIVE. */
export const SwapBit = { SOFT_DIRTY: 1 << 1, UFFD_WP: 1 << 2, EXCLUSIVE: 1 << 3 } as const;

/** Linux: SWP_OFFSET_FIRST_BIT. */
const OFFSET_SHIFT = 9;
const LOW_OFFSETS = 2 ** (32 - OFFSET_SHIFT);
/** In the high word: the offset's upper bits, and above them the type. */
const TYPE_SHIFT = 27;
const HIGH_MASK = (1 << TYPE_SHIFT) - 1;

/** The low word of a swap entry.  Linux: swp_entry_to_pte. */
export const swapLow = (offset: Pfn, flags: number): number =>
  (~(offset % LOW_OFFSETS) << OFFSET_SHIFT) | flags;
/** The high word. */
export const swapHigh = (type: number, offset: Pfn): number =>
  (~Math.floor(offset / LOW_OFFSETS) & HIGH_MASK) | (type << TYPE_SHIFT);

/** The type in the high word of a swap entry.  Linux: __swp_type. */
export const swapType = (high: number): number => high >>> TYPE_SHIFT;
/** Linux: __swp_offset. */
export const swapOffset = (low: number, high: number): number =>
  (~low >>> OFFSET_SHIFT) + (~high & HIGH_MASK) * LOW_OFFSETS;
/** Whether the page is being moved to another frame.  Linux: is_migration_entry. */
export const isMigration = (high: number): boolean => {
  const type = swapType(high);
  return type >= SwapType.MIGRATION_READ && type <= SwapType.MIGRATION_WRITE;
};
