/**
 * What the door to object caches (slab-caches) asks of an allocator: SLUB, SLAB or SLOB.  A worker builds one of them,
 * so that its calls have one target.
 *
 * Linux: mm/slab.h, which every allocator implements: __kmem_cache_create, __kmem_cache_shutdown,
 * __kmem_cache_release, __kmem_cache_shrink, get_slabinfo.
 */

import type { Pointer } from "../../memory/units.ts";
import type { CacheOptions } from "./cache-record.ts";
import type { CacheRef } from "./kmem-cache.ts";

/** What a caller does with objects; `node` is NO_NODE for "near this CPU". */
export interface ObjectPaths {
  alloc(cache: CacheRef, gfp: number, node: number): Pointer;
  free(cache: CacheRef, object: Pointer): void;
  /** All or none. */
  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean;
  freeBulk(cache: CacheRef, objects: readonly Pointer[]): void;
}

/** Memory by size that comes from no cache. */
export interface SizedMemory {
  /** `bytes` from 1 on; 0 when there is no memory. */
  kmalloc(bytes: number, gfp: number, node: number): Pointer;
  kfree(object: Pointer): void;
  ksize(object: Pointer): number;
}

/** A cache's line of /proc/slabinfo.  Linux: struct slabinfo. */
export interface SlabInfo {
  readonly activeObjects: number;
  readonly objects: number;
  readonly activeSlabs: number;
  readonly slabs: number;
  /** Objects in the arrays that CPUs of a node share: SLAB alone has any. */
  readonly sharedAvailable: number;
  readonly limit: number;
  readonly batchCount: number;
  readonly shared: number;
  readonly objectsPerSlab: number;
  readonly order: number;
}

/** What one cache has at rest. */
export interface CacheCount {
  readonly cache: CacheRef;
  readonly name: string;
  readonly slabs: number;
  readonly objects: number;
  /** Objects that are given out. */
  readonly active: number;
}

/** SLAB's periodic work of a CPU.  Linux: cache_reap. */
export interface SlabReaper {
  /** In the timer tick: notes when it is time. */
  tick(): void;
  /** One cache.  @holds slab_mutex */
  reap(cache: CacheRef): void;
  /** After the last cache. */
  finish(): void;
}

/** All but `objects`, `release`, `reaper`'s tick, `hasCpuPart` and `check` is called with slab_mutex held. */
export interface ObjectAllocator {
  readonly objects: ObjectPaths;
  /** SLOB: kmalloc does without caches.  Null: it has a cache for each class. */
  readonly sized: SizedMemory | null;
  /** What gives memory back now and then; null where nothing does. */
  readonly reaper: SlabReaper | null;
  /** Formats what the allocator has in the kernel image, on the boot CPU. */
  format(): void;
  /** Makes the first caches and puts them on the list.  Linux: kmem_cache_init. */
  bootstrap(link: (cache: CacheRef) => void): void;
  /** Makes the cache of a structure of zeros; false, and nothing is kept, when there is no memory. */
  setUp(cache: CacheRef, options: CacheOptions): boolean;
  /** Gives back all pages that hold no object in use; true when none is left.  All CPUs have flushed. */
  shutDown(cache: CacheRef): boolean;
  /** Like `shutDown`, of a cache that goes on. */
  shrink(cache: CacheRef): boolean;
  /** Ends the parts of a cache that is shut down and on no list. */
  release(cache: CacheRef): void;
  /** This CPU, and perhaps its node, gives up what it has of the cache: it goes offline. */
  leave(cache: CacheRef): void;
  /** Whether `cpu` keeps anything of the cache to itself; a hint. */
  hasCpuPart(cache: CacheRef, cpu: number): boolean;
  /** This CPU gives up what it has of the cache; may run in an interrupt. */
  flushHere(cache: CacheRef): void;
  /** Bytes of an object that its user may use. */
  usableBytes(cache: CacheRef): number;
  slabInfo(cache: CacheRef): SlabInfo;
  /** Objects of so many bytes share the cache from here on. */
  raiseUse?(cache: CacheRef, objectBytes: number): void;
  /** Where there is debugging: looks at every object that lies on a list: slabs looked at, reports made. */
  validate?(cache: CacheRef): { slabs: number; errors: number };
  /** Every invariant, at rest. */
  check(caches: readonly CacheRef[]): CacheCount[];
}
