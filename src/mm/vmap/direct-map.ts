/**
 * The direct map: all of physical memory at kernel virtual addresses in a row, in pages as large as its ranges allow.
 *
 * The kernel's own pointers are words of RAM and need no translation; an access at such an address goes through the TLB and the
 * tables all the same, and ends at the same word: `pointerOfVirtual(virtualOf(p))` is p, and so is what a walk finds.
 *
 * Linux: Documentation/arch/x86/x86_64/mm.rst, arch/x86/mm/init.c split_mem_range, arch/x86/include/asm/page_64.h.
 * Differs: where tables have five levels the map does not move, for its addresses would not be exact numbers; ends of ranges are
 * not widened to the large page around them, and the first megabyte is nothing special.
 */

import { PAGE_BYTES, type Pfn, type Pointer, physOf, pointerOf } from "../../memory/units.ts";

/** ffff888000000000, without KASLR.  Linux: page_offset_base. */
export const DIRECT_MAP_START = -0x7780_0000_0000;

/** Linux: __va. */
export const virtualOf = (pointer: Pointer): number => DIRECT_MAP_START + physOf(pointer);
/** Linux: __pa, of the direct map. */
export const pointerOfVirtual = (address: number): Pointer => pointerOf(address - DIRECT_MAP_START);
/** Where a frame begins. */
export const virtualOfPfn = (pfn: Pfn): number => DIRECT_MAP_START + pfn * PAGE_BYTES;

/** Levels whose entries map pages, the largest first: 1 GiB, 2 MiB, 4 KiB. */
const LEAF_LEVELS = [3, 2, 1] as const;

/**
 * Calls `visit` for each page that maps a part of the frames from `startPfn` to `endPfn`, with its level; false ends it.
 * The largest page that begins at a frame and does not reach beyond the end is taken.
 */
export function eachDirectPage(
  startPfn: Pfn,
  endPfn: Pfn,
  visit: (pfn: Pfn, level: number) => boolean,
): boolean {
  for (let pfn = startPfn; pfn < endPfn; ) {
    const level =
      LEAF_LEVELS.find((at) => pfn % 512 ** (at - 1) === 0 && pfn + 512 ** (at - 1) <= endPfn) ?? 1;
    if (!visit(pfn, level)) return false;
    pfn += 512 ** (level - 1);
  }
  return true;
}
