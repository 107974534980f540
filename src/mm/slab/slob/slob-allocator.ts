/**
 * SLOB behind the door: its caches are a size and an alignment, and nothing else.
 *
 * Linux 6.3: mm/slob.c __kmem_cache_create, __kmem_cache_shutdown, __kmem_cache_shrink, kmem_cache_init.
 */

import { bug } from "../../../memory/bug.ts";
import type { ImageLayout, Slot } from "../../../memory/image.ts";
import type { Memory } from "../../../memory/memory.ts";
import { wordsIn } from "../../../memory/struct.ts";
import { alignUp, type Pointer, WORD_BYTES } from "../../../memory/units.ts";
import { type CacheOptions, readName, writeIdentity } from "../cache-record.ts";
import { type CacheRef, SlabGlobals } from "../kmem-cache.ts";
import type { CacheCount, ObjectAllocator, SlabInfo } from "../object-allocator.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "../slab-flags.ts";
import { calculateAlignment } from "../slab-layout.ts";
import type { AllocatorParts } from "../slab-parts.ts";
import { checkSlob } from "./check-slob.ts";
import { SLOB_RCU_BYTES, Slob } from "./slob.ts";
import { SlobCache, SlobGlobals } from "./structures.ts";

const cacheField = SlobCache;

export class SlobAllocator implements ObjectAllocator {
  readonly reaper = null;
  declare readonly objects: Slob;
  declare readonly sized: Slob;
  declare private readonly memory: Memory;
  declare private readonly globals: Pointer;

  constructor(parts: AllocatorParts) {
    const { slob } = parts.slots;
    if (slob === null) bug("the kernel image has no room for SLOB's lists");
    this.memory = parts.cpu.memory;
    this.globals = parts.globals;
    this.objects = new Slob(parts, slob.address);
    this.sized = this.objects;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("slob_globals", SlobGlobals);
  }

  format(): void {
    this.objects.format();
  }

  /** The one cache of caches lies in the kernel image and is on no list. */
  bootstrap(): void {
    const { memory, globals } = this;
    const kmemCache = globals + SlabGlobals.bootCaches;
    const objectBytes = wordsIn(SlobCache) * WORD_BYTES;
    this.setUp(kmemCache, { name: "kmem_cache", objectBytes, flags: SlabFlag.PANIC });
    memory.write(globals + SlabGlobals.kmemCache, kmemCache);
  }

  setUp(cache: CacheRef, options: CacheOptions): boolean {
    const { memory } = this;
    writeIdentity(memory, cache, options);
    const flags = (options.flags ?? 0) & ~SLAB_DEBUG_FLAGS;
    const isTypesafe = (flags & SlabFlag.TYPESAFE_BY_RCU) !== 0;
    const { objectBytes } = options;
    const bytes = isTypesafe ? alignUp(objectBytes, 8) + SLOB_RCU_BYTES : objectBytes;
    memory.write(cache + cacheField.flags, flags);
    memory.write(cache + cacheField.size, bytes);
    memory.write(cache + cacheField.align, calculateAlignment(flags, options.alignBytes ?? 0, objectBytes));
    return true;
  }

  /** There is no way to tell whether objects are in use. */
  shutDown(): boolean {
    return true;
  }

  shrink(): boolean {
    return true;
  }

  release(): void {}

  leave(): void {}

  hasCpuPart(): boolean {
    return false;
  }

  flushHere(): void {}

  usableBytes(cache: CacheRef): number {
    return this.memory.read(cache + cacheField.objectSize);
  }

  /** SLOB has no /proc/slabinfo: it does not know. */
  slabInfo(): SlabInfo {
    return {
      activeObjects: 0,
      objects: 0,
      activeSlabs: 0,
      slabs: 0,
      sharedAvailable: 0,
      limit: 0,
      batchCount: 0,
      shared: 0,
      objectsPerSlab: 0,
      order: 0,
    };
  }

  /** All pages are looked at; of caches nothing is known but their names. */
  check(caches: readonly CacheRef[]): CacheCount[] {
    checkSlob(this.objects);
    return caches.map((cache) => {
      const name = readName(this.memory, cache);
      return { cache, name, slabs: UNKNOWN, objects: UNKNOWN, active: UNKNOWN };
    });
  }
}

const UNKNOWN = -1;
