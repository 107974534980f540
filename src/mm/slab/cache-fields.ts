/**
 * The fields that the struct kmem_cache of every allocator has, at the same places: the door and the reports read these
 * without knowing whose cache it is.
 *
 *   CACHE_HEAD | eight words of the allocator's own | CACHE_MIDDLE | more of its own | CACHE_END
 *
 * Linux: mm/slab.h struct kmem_cache, the fields that slab_common.c uses.
 */

import { array, word } from "../../memory/struct.ts";
import { WORD_BYTES } from "../../memory/units.ts";
import { MAX_NODES } from "../pages/page-flags.ts";

/** Bytes of a cache's name, the end included. */
export const NAME_BYTES = 32;

/** Sizes are bytes; they are written once, when the cache is made. */
export const CACHE_HEAD = {
  /** What each CPU has of it, in per-CPU memory: KmemCacheCpu in SLUB, an array of objects in SLAB. */
  cpuSlab: word("holder", "pointer:percpu"),
  /** From one object to the next. */
  size: word("holder"),
  flags: word("holder", "flags"),
  objectSize: word("holder"),
  order: word("holder"),
  objects: word("holder", "counter"),
  align: word("holder"),
  /** Runs on each object when its slab is made; 0 none. */
  construct: word("holder", "functionId"),
} as const;

/** Behind eight words of the allocator's own: these are at the same places in all of them. */
export const CACHE_MIDDLE = {
  /** On the list of all caches. */
  links: array(2, "lock:slab_mutex", "pointer:list_head"),
  name: array(NAME_BYTES / WORD_BYTES, "holder", "bytes"),
  /** How many have made it, under one name or several; -1: it is the allocator's own.  See slab-merge. */
  refcount: word("lock:slab_mutex", "counter"),
  /** The CPUs' sheaves, in per-CPU memory; 0: the cache has none.  See sheaves. */
  cpuSheaves: word("holder", "pointer:percpu"),
} as const;

/** One structure a node; the struct ends with the machine's last. */
export const CACHE_END = { nodes: array(MAX_NODES, "holder", "pointer:kmem_cache_node") } as const;
