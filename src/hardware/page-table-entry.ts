/**
 * Page-table entries of x86-64: two words, the low one first.
 *
 * Every bit that races is in the low word: present, write, accessed, dirty, and the low twenty bits of the frame.  Who
 * makes an entry present writes the high word first and the low one last, marked; who clears one exchanges the low word;
 * who reads one without its lock reads low, high, and low again.
 *
 * Intel SDM vol. 3A, 4.5 (4-level and 5-level paging).  Linux: arch/x86/include/asm/pgtable_types.h, trap_pf.h.
 */

import type { Pfn } from "../memory/units.ts";

/** Bits of an entry's low word. */
export const PteBit = {
  PRESENT: 1 << 0,
  RW: 1 << 1,
  USER: 1 << 2,
  PWT: 1 << 3,
  PCD: 1 << 4,
  ACCESSED: 1 << 5,
  DIRTY: 1 << 6,
  /** In a directory: the entry maps a page of 2 MiB or 1 GiB. */
  PSE: 1 << 7,
  GLOBAL: 1 << 8,
} as const;

/** Bit 63: no instructions may be fetched.  In the high word. */
export const PTE_HIGH_NX = 1 << 31;
/** Bits of the frame in the high word: bits 32 to 51 of the entry. */
const HIGH_FRAME_MASK = 0xfffff;
const LOW_FRAME_SHIFT = 12;
/** Frame bits in the low word. */
const LOW_FRAME_BITS = 20;

export const ENTRY_WORDS = 2;

/** The low word of an entry for frame `pfn`. */
export const entryLow = (pfn: Pfn, bits: number): number => (pfn << LOW_FRAME_SHIFT) | bits;
/** The high word of an entry for frame `pfn`; `nx` is 0 or PTE_HIGH_NX. */
export const entryHigh = (pfn: Pfn, nx: number): number => Math.floor(pfn / 2 ** LOW_FRAME_BITS) | nx;
/** The frame that an entry names. */
export const entryPfn = (low: number, high: number): Pfn =>
  (low >>> LOW_FRAME_SHIFT) + (high & HIGH_FRAME_MASK) * 2 ** LOW_FRAME_BITS;

/** Bits of a page fault's error code, which also say what an access wants.  Linux: enum x86_pf_error_code. */
export const PageFault = {
  /** The entry was present: a right was missing. */
  PROT: 1 << 0,
  WRITE: 1 << 1,
  USER: 1 << 2,
  /** A reserved bit was set. */
  RSVD: 1 << 3,
  INSTR: 1 << 4,
} as const;

/** For reports: what an error code says, as the kernel's oops prints it.  Linux: arch/x86/mm/fault.c show_fault_oops. */
export function describeFault(code: number): string {
  const who = (code & PageFault.USER) !== 0 ? "user" : "supervisor";
  const what =
    (code & PageFault.INSTR) !== 0
      ? "instruction fetch"
      : (code & PageFault.WRITE) !== 0
        ? "write access"
        : "read access";
  const why =
    (code & PageFault.PROT) === 0
      ? "not-present page"
      : (code & PageFault.RSVD) !== 0
        ? "reserved bit violation"
        : "permissions violation";
  return `#PF: ${who} ${what}, error_code(0x${code.toString(16).padStart(4, "0")}) - ${why}`;
}
