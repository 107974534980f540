/**
 * The structures of the object allocator: a cache, its part on each CPU and on each node, and the list of all caches.
 *
 * Linux: mm/slab.h struct kmem_cache, struct kmem_cache_node; mm/slub.c struct kmem_cache_cpu.
 */

import { array, embed, struct, word } from "../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { Mutex } from "../../sync/mutex.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { CACHE_END, CACHE_HEAD, CACHE_MIDDLE } from "./cache-fields.ts";

/** Word index of a struct kmem_cache. */
export type CacheRef = Pointer;

/**
 * What a CPU has of a cache.  `freelist` and `tid` change together, by `exchangePair` alone while `slab` stays: whoever
 * read them and finds either changed begins anew.  `tid` grows with every change, so that a list that looks as it did,
 * after an interrupt has taken from it and given back, is told from one that is untouched.
 */
export const KmemCacheCpu = struct("kmem_cache_cpu", {
  /** First free object of `slab` that is this CPU's alone. */
  freelist: word("owner-cpu", "pointer:object"),
  /** CPU + operations * (CPUs rounded up to a power of two). */
  tid: word("owner-cpu"),
  /** The slab that this CPU allocates from: frozen. */
  slab: word("hint:owner-cpu", "pointer:page"),
  /** Slabs with free objects for later, linked by `next`: not frozen, on no node's list. */
  partial: word("hint:owner-cpu", "pointer:page"),
});

export const KmemCacheNode = struct("kmem_cache_node", {
  listLock: embed(SpinLock, "atomic"),
  nrPartial: word("hint:list_lock", "counter"),
  /** Slabs of the node, and their objects, wherever they are. */
  nrSlabs: word("atomic", "counter"),
  totalObjects: word("atomic", "counter"),
  /** Where the node keeps sheaves; 0: the cache has none. */
  barn: word("holder", "pointer:node_barn"),
  /** List head: slabs of which some objects are free. */
  partial: array(2, "lock:list_lock", "pointer:list_head"),
  /** List head: slabs of which none is, of caches with STORE_USER. */
  full: array(2, "lock:list_lock", "pointer:list_head"),
});

/** SLUB's. */
export const KmemCache = struct("kmem_cache", {
  ...CACHE_HEAD,
  /** Of the free pointer in an object. */
  offset: word("holder"),
  /** Nonzero: free pointers are stored mixed with it and with their own place.  Linux: CONFIG_SLAB_FREELIST_HARDENED. */
  random: word("holder"),
  minPartial: word("holder", "counter"),
  cpuPartialSlabs: word("holder", "counter"),
  minOrder: word("holder"),
  minObjects: word("holder", "counter"),
  inuse: word("holder"),
  /** Of 1024 looks at other nodes' lists so many are taken.  Linux: remote_node_defrag_ratio. */
  remoteRatio: word("holder"),
  ...CACHE_MIDDLE,
  cpuPartial: word("holder", "counter"),
  /** Before each object, its left red zone.  Linux: red_left_pad. */
  redLeft: word("holder"),
  /** Offsets of a slab's objects in a random order, or 0.  Linux: random_seq. */
  sequence: word("holder", "pointer:word"),
  pad: word("boot"),
  ...CACHE_END,
});

/** Bytes of a kmem_cache on a machine of `nodes` nodes.  Linux: offsetof(struct kmem_cache, node[nr_node_ids]). */
export const cacheBytes = (nodes: number): number => (KmemCache.nodes + nodes) * WORD_BYTES;

/** How far the object allocator has come.  Linux: enum slab_state. */
export const SlabState = { DOWN: 0, PARTIAL: 1, UP: 2 } as const;

/** What the object allocator has in the kernel image. */
export const SlabGlobals = struct("slab_globals", {
  state: word("hint:slab_mutex"),
  /** The caches that caches and their nodes come from. */
  kmemCache: word("lock:slab_mutex", "pointer:kmem_cache"),
  kmemCacheNode: word("lock:slab_mutex", "pointer:kmem_cache"),
  /** 1 after the first report of a damaged object. */
  taint: word("atomic", "flags"),
  /** Names of places in the code, once a cache has STORE_USER.  See slab-track. */
  places: word("hint:slab_mutex", "pointer:slab_place"),
  /** Caches with STORE_USER, and one more if the machine is told to store users. */
  placeUsers: word("lock:slab_mutex", "counter"),
  /** The cache that sheaves and barns come from. */
  sheafCache: word("hint:slab_mutex", "pointer:kmem_cache"),
  pad: word("boot"),
  /** List head: all caches.  Linux: slab_caches. */
  caches: array(2, "lock:slab_mutex", "pointer:list_head"),
  /** List head: other names of caches. */
  aliases: array(2, "lock:slab_mutex", "pointer:list_head"),
  mutex: embed(Mutex, "atomic"),
  /** Where the first two caches are until there is a cache to hold them. */
  bootCaches: embed(KmemCache, "lock:slab_mutex", 2),
});
