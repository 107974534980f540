/** Parts of an address space that one entry of each level covers, and where they end. */

import { PAGE_BYTES } from "../../memory/units.ts";

/** Bytes that an entry of a table of `level` covers: 1 is a page table's, a page. */
export const entrySpan = (level: number): number => PAGE_BYTES * 512 ** (level - 1);

export const PMD_BYTES = entrySpan(2);
export const PUD_BYTES = entrySpan(3);

/** Numbers above it are not exact: user addresses end here, where five levels would reach to 2^56. */
const EXACT_END = 2 ** 53;
/** First address past what the user may map, with four or five levels.  Linux: TASK_SIZE_MAX. */
export const userEnd = (levels: 4 | 5): number => Math.min(256 * entrySpan(levels), EXACT_END) - PAGE_BYTES;

/** Mappings go above it only when their hint is above it, whatever the tables reach.  Linux: DEFAULT_MAP_WINDOW. */
export const MAP_WINDOW_END = userEnd(4);

/** Where the entry that covers `address` ends, or `end` if that comes first.  Linux: pmd_addr_end and its kin. */
export function spanEnd(address: number, end: number, span: number): number {
  return Math.min(end, Math.floor(address / span) * span + span);
}
