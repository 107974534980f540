/**
 * Which class a size goes to: pure arithmetic, in bytes.
 *
 * Two sizes that are no powers of two, 96 and 192, have caches of their own.  Up to 192 bytes a table, one entry for each
 * 8 bytes, tells the cache; above it the highest bit of the size does.
 *
 * Linux: mm/slab_common.c kmalloc_size_index, kmalloc_info, kmalloc_size_roundup; mm/slab.h kmalloc_slab,
 * size_index_elem.
 */

import { PAGE_BYTES, PAGE_SHIFT } from "../../memory/units.ts";
import { MAX_ORDER } from "../pages/migrate-types.ts";

/** Sizes above go to the page allocator.  Linux: KMALLOC_MAX_CACHE_SIZE. */
export const KMALLOC_MAX_CACHE_BYTES = PAGE_BYTES * 2;
/** Linux: KMALLOC_MAX_SIZE. */
export const KMALLOC_MAX_BYTES = PAGE_BYTES << MAX_ORDER;

/** Bytes of the objects of each cache, by its index; index 0 is none.  Linux: kmalloc_info. */
export const KMALLOC_SIZES: readonly number[] = [
  0, 96, 192, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192,
];

/** Up to here the table decides. */
const TABLE_BYTES = 192;
/** Cache index by (bytes - 1) / 8.  Linux: kmalloc_size_index. */
const SIZE_INDEX: readonly number[] = [
  3, 4, 5, 5, 6, 6, 6, 6, 1, 1, 1, 1, 7, 7, 7, 7, 2, 2, 2, 2, 2, 2, 2, 2,
];
/** The cache's index for 1 to KMALLOC_MAX_CACHE_BYTES.  Linux: kmalloc_slab. */
export function kmallocIndex(bytes: number): number {
  return bytes <= TABLE_BYTES ? SIZE_INDEX[(bytes - 1) >> 3] : 32 - Math.clz32(bytes - 1);
}

/** Order of the block for a size above the caches'.  Linux: get_order. */
export function kmallocOrder(bytes: number): number {
  return 32 - Math.clz32((bytes - 1) >>> PAGE_SHIFT);
}

/** What a request of `bytes` really has to use; 0 and what is too much stay.  Linux: kmalloc_size_roundup. */
export function kmallocSizeRoundup(bytes: number): number {
  if (bytes <= 0 || bytes > KMALLOC_MAX_BYTES) return bytes;
  if (bytes <= KMALLOC_MAX_CACHE_BYTES) return KMALLOC_SIZES[kmallocIndex(bytes)];
  return PAGE_BYTES << kmallocOrder(bytes);
}
