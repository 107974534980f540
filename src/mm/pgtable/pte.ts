/**
 * Page-table entries as software sees them: its own bits, and what an entry without PRESENT says.
 *
 *   present        | NX | frame                          | SPECIAL UFFD SOFT_DIRTY | G PS D A PCD PWT US RW P |
 *   PROT_NONE      as present, but P is 0 and G is 1: the frame stays, every access faults
 *   swap entry     P and G are 0: swap-entry.ts
 *
 * Linux: arch/x86/include/asm/pgtable_types.h.
 */

import { PteBit } from "../../hardware/page-table-entry.ts";

const { PRESENT, RW, USER, PWT, PCD, ACCESSED, DIRTY, GLOBAL } = PteBit;

/** Software's bits of a present entry's low word. */
export const PteSoft = {
  /** No struct page stands behind it.  Linux: _PAGE_SPECIAL. */
  SPECIAL: 1 << 9,
  UFFD_WP: 1 << 10,
  SOFT_DIRTY: 1 << 11,
  /** Without PRESENT.  Linux: _PAGE_PROTNONE. */
  PROT_NONE: GLOBAL,
} as const;

/** Low words of entries that have no frame yet, by what may be done.  Linux: PAGE_SHARED, PAGE_READONLY, PAGE_NONE. */
export const PageProt = {
  NONE: PteSoft.PROT_NONE | ACCESSED,
  READ: PRESENT | USER | ACCESSED,
  WRITE: PRESENT | USER | ACCESSED | RW,
} as const;

/** Bits that mprotect leaves as they are.  Linux: _PAGE_CHG_MASK, its low bits beside the frame. */
export const CHANGE_KEEPS =
  PCD | PWT | PteSoft.SPECIAL | ACCESSED | DIRTY | PteSoft.SOFT_DIRTY | PteSoft.UFFD_WP;

/** Whether the entry maps a frame, with PROT_NONE too.  Linux: pte_present. */
export const isPresent = (low: number): boolean => (low & (PRESENT | PteSoft.PROT_NONE)) !== 0;
/** Whether a translation may use it.  Linux: pte_accessible, without its pending flush. */
export const isMapped = (low: number): boolean => (low & PRESENT) !== 0;
