/**
 * SLAB's structures: a cache, arrays of free objects, and what a node has of a cache.
 *
 * Linux 6.7 (the last with SLAB): include/linux/slab_def.h, mm/slab.c struct array_cache, struct alien_cache, mm/slab.h
 * struct kmem_cache_node.  Differs: an entry of an array is a word, where Linux has a pointer of 8 bytes.
 */

import { array, embed, float64, struct, word, wordsIn } from "../../../memory/struct.ts";
import { SpinLock } from "../../../sync/spinlock-layout.ts";
import { CACHE_END, CACHE_HEAD, CACHE_MIDDLE } from "../cache-fields.ts";
import { KmemCache } from "../kmem-cache.ts";

/** Free objects, last in first out; `limit` entries follow.  A CPU's is its own, a shared one list_lock's. */
export const ArrayCache = struct("array_cache", {
  avail: word("hint:holder", "counter"),
  limit: word("holder", "counter"),
  /** How many move at a time. */
  batchCount: word("holder", "counter"),
  /** 1 when objects were taken since the reaper came by. */
  touched: word("hint:holder", "flags"),
});
/** From an array to its first entry. */
export const ENTRIES = wordsIn(ArrayCache);

/** Objects of one other node that CPUs of this node have freed. */
export const AlienCache = struct("alien_cache", {
  lock: embed(SpinLock, "atomic"),
  array: embed(ArrayCache, "lock:alc.lock"),
});

/** What a node has of a cache: its slabs, by state, and arrays that its CPUs share. */
export const SlabNode = struct("kmem_cache_node", {
  listLock: embed(SpinLock, "atomic"),
  partial: array(2, "lock:list_lock", "pointer:list_head"),
  full: array(2, "lock:list_lock", "pointer:list_head"),
  /** Slabs of which no object is in use. */
  free: array(2, "lock:list_lock", "pointer:list_head"),
  totalSlabs: word("lock:list_lock", "counter"),
  freeSlabs: word("lock:list_lock", "counter"),
  /** In slabs, not in arrays. */
  freeObjects: word("hint:list_lock", "counter"),
  /** Free objects above which free slabs are given back. */
  freeLimit: word("lock:list_lock", "counter"),
  /** Colour of the last slab. */
  colourNext: word("atomic"),
  shared: word("hint:list_lock", "pointer:array_cache"),
  /** A table of alien caches by node; 0 on a machine of one node. */
  alien: word("holder", "pointer:alien_cache"),
  /** 1 when a free slab was used since the reaper came by. */
  freeTouched: word("hint:list_lock", "flags"),
  nextReapNs: float64("hint:holder"),
});

/** struct kmem_cache. */
export const SlabCache = struct("kmem_cache", {
  ...CACHE_HEAD,
  /** Of each CPU's array, and how many objects it moves at a time. */
  limit: word("holder", "counter"),
  batchCount: word("holder", "counter"),
  /** Batches that a node's shared array holds; 0: it has none. */
  shared: word("holder", "counter"),
  /** Starts of slabs differ by up to so many steps of `colourOff` bytes. */
  colour: word("holder", "counter"),
  colourOff: word("holder"),
  /** Off-slab only: where the free indexes of a slab come from. */
  freelistCache: word("holder", "pointer:kmem_cache"),
  freelistBytes: word("holder"),
  pad: word("boot"),
  ...CACHE_MIDDLE,
  ...CACHE_END,
});
if (SlabCache.links !== KmemCache.links || SlabCache.name !== KmemCache.name)
  throw new Error("the allocators' kmem_caches differ where they must not");

/**
 * Where the free indexes of a slab are, in `flags`: inside a free object, or in an object of another cache; else behind
 * the objects.  Linux: CFLGS_OBJFREELIST_SLAB, CFLGS_OFF_SLAB.
 */
export const Placement = { IN_OBJECT: 1 << 30, OFF_SLAB: 1 << 31 } as const;

/** What each CPU's reaper remembers. */
export const ReapWork = struct("slab_reap_work", {
  dueNs: float64("owner-cpu"),
  /** The other node whose aliens are drained next.  Linux: slab_reap_node. */
  node: word("owner-cpu"),
  /** 1: the tick has found that it is time. */
  isDue: word("owner-cpu", "flags"),
});
