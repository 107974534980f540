/**
 * `struct page`: one cache line for each page frame, in one flat array indexed by frame number.
 *
 * Words 0-4 mean the same in every state.  Word 3 says what the frame is at present (`PageType`) and the order of the
 * block that it heads; word 4 is set while the frame heads a free block of the buddy allocator.  They are two words
 * because the neighbours of a block look at word 4 under *their* zone lock while the frame's holder may be writing
 * word 3: `buddy` changes under the zone lock alone.  Words 5-15 are overlays.
 *
 * Frames inside a block (neither its head nor a compound tail) have type NONE and buddy 0, and so have the frames of
 * holes, whose words are never touched and cost nothing.
 *
 * Linux: include/linux/mm_types.h struct page, include/linux/page-flags.h.  Differs: the type has a word of its own.
 */

import { bug } from "../../memory/bug.ts";
import { array, chooseOverlayBy, struct, word, wordsIn } from "../../memory/struct.ts";
import type { Pfn, Pointer } from "../../memory/units.ts";

/** Word index of a struct page. */
export type PageRef = Pointer;

export const PAGE_WORDS = 16;
/** Word of the two links (next, prev) of whatever list a page is on, in every overlay that has them. */
export const PAGE_LINKS = 5;

export const Page = struct("page", {
  /** PageFlag bits; zone and node in the upper bits, set once at boot. */
  flags: word("hint:atomic", "flags"),
  /** References; 0 while the frame is free, on a page list, or inside a block. */
  refcount: word("hint:atomic", "counter"),
  /** Mappings in page tables, minus 1. */
  mapcount: word("hint:atomic", "counter"),
  /** PageType in the low byte; above it the order of the block that this frame heads. */
  type: word("holder", "flags"),
  /** `zoneNumber << 8 | order + 1` while the frame heads a free block of the buddy allocator, else 0. */
  buddy: word("hint:zone.lock", "flags"),
  rest: array(PAGE_WORDS - PAGE_LINKS, "holder"),
});
if (wordsIn(Page) !== PAGE_WORDS) bug(`struct page is ${wordsIn(Page)} words, expected ${PAGE_WORDS}`);

/** What a frame is: the tag of the overlays. */
export const PageType = {
  /** Nothing of its own: inside a block, in a hole, or allocated and untyped. */
  NONE: 0,
  /** Heads a free block of the buddy allocator.  Never stored: `buddy` says it. */
  BUDDY: 1,
  /** Heads a block on a per-CPU page list. */
  PCP: 2,
  /** Heads an allocated block; its owner has not said more. */
  ALLOCATED: 3,
  /** Kernel image, mem_map, holes in a zone: never given to the allocator. */
  RESERVED: 4,
  /** Second and further frames of a compound block. */
  TAIL: 5,
  SLAB: 6,
  PAGE_TABLE: 7,
  ANON: 8,
  FILE: 9,
  VMALLOC: 10,
  PERCPU: 11,
  /** A block that kmalloc has taken from the page allocator. */
  LARGE_KMALLOC: 12,
} as const;

/** The tag of a page: what its overlay is. */
export function pageTypeAt(read: (address: Pointer) => number, page: PageRef): number {
  return read(page + Page.buddy) !== 0 ? PageType.BUDDY : read(page + Page.type) & 0xff;
}
chooseOverlayBy(Page, pageTypeAt);

/** The descriptor of frame `pfn`. */
export const pageRef = (memMap: Pointer, pfn: Pfn): PageRef => memMap + pfn * PAGE_WORDS;
/** The frame of a descriptor. */
export const pagePfn = (memMap: Pointer, page: PageRef): Pfn => (page - memMap) >> 4;
