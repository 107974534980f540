/**
 * SLOB's structures.  Its pages use struct page's slab words: `freelist` is the unit of the first free block, `active` the
 * free units, `onNodeList` whether the page is on a list, and `objects` 1 for a block of pages that is one object.
 *
 * Linux 6.3 (the last with SLOB): mm/slob.c.
 */

import { array, embed, struct } from "../../../memory/struct.ts";
import { SpinLock } from "../../../sync/spinlock-layout.ts";
import { CACHE_HEAD, CACHE_MIDDLE } from "../cache-fields.ts";
import { KmemCache } from "../kmem-cache.ts";

/** One for all pages: lists of those with free blocks, by the size of what they were made for. */
export const SlobGlobals = struct("slob_globals", {
  lock: embed(SpinLock, "atomic"),
  /** Objects below 256 bytes, below 1024, and others. */
  lists: array(6, "lock:slob_lock", "pointer:list_head"),
});

/** struct kmem_cache: it has no parts. */
export const SlobCache = struct("kmem_cache", {
  ...CACHE_HEAD,
  unused: array(8, "holder"),
  ...CACHE_MIDDLE,
});
if (SlobCache.links !== KmemCache.links || SlobCache.name !== KmemCache.name)
  throw new Error("the allocators' kmem_caches differ where they must not");
