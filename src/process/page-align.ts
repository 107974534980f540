/** Rounding of addresses and lengths as the kernel does it, in 64 bits: a length near the top wraps to 0. */

import { PAGE_BYTES } from "../memory/units.ts";

const WRAP = 2 ** 64;

/** Up to whole pages.  Linux: PAGE_ALIGN. */
export function pageAlign(bytes: number): number {
  const aligned = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
  return aligned >= WRAP ? 0 : aligned;
}

/** Down to a whole page. */
export const pageFloor = (address: number): number => Math.floor(address / PAGE_BYTES) * PAGE_BYTES;

/** The end of a range, wrapped as 64 bits do. */
export function wrappedEnd(start: number, bytes: number): number {
  const end = start + bytes;
  return end >= WRAP ? end - WRAP : end;
}
