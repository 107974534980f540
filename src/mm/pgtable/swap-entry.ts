/**
 * Entries without PRESENT that say where a page is instead, or why there is none.
 *
 *   low word    bit 1 SOFT_DIRTY, 2 UFFD_WP, 3..7 type, 9 EXCLUSIVE, 12..31 offset; PRESENT and GLOBAL are 0
 *   high word   bits 0..19 offset
 *
 * An entry of a type from MIGRATION_READ on names a frame instead of a place in swap.
 *
 * Linux: arch/x86/include/asm/pgtable_64.h, include/linux/swapops.h.  Differs: type and offset lie elsewhere, so that the low
 * word alone says what it is; an offset has 40 bits.
 */

import { entryLow } from "../../hardware/page-table-entry.ts";
import type { Pfn } from "../../memory/units.ts";

/** Types of swap entries that are none: the frame moves, or must not be used.  Linux: SWP_MIGRATION_READ and its kin. */
export const SwapType = {
  MIGRATION_READ: 28,
  MIGRATION_READ_EXCLUSIVE: 29,
  MIGRATION_WRITE: 30,
  HWPOISON: 27,
  MARKER: 26,
} as const;

/** Flags of a swap entry. */
export const SwapBit = { SOFT_DIRTY: 1 << 1, UFFD_WP: 1 << 2, EXCLUSIVE: 1 << 9 } as const;
const TYPE_SHIFT = 3;
const TYPE_MASK = 31;

/**
 * The low word of a swap entry; the high one is `entryHigh(offset, 0)`.  Offset 0 of swap is its header: no entry of
 * type 0 is all zero.  Linux: swp_entry_to_pte.
 */
export const swapLow = (type: number, offset: Pfn, flags: number): number =>
  entryLow(offset, (type << TYPE_SHIFT) | flags);
/** The type in the low word of a swap entry; `entryPfn` has its offset. */
export const swapType = (low: number): number => (low >> TYPE_SHIFT) & TYPE_MASK;
