/**
 * Which object lies where in the slabs of SLUB, and whether it is given out; at rest.
 *
 * Linux has no such look: kmemleak keeps a tree of its own of what is allocated.
 */

import type { Memory } from "../../memory/memory.ts";
import { frameOf, type Pointer } from "../../memory/units.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import type { PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { type CacheRef, KmemCache, KmemCacheCpu } from "../slab/kmem-cache.ts";
import type { SlabPages } from "../slab/slab-pages.ts";
import { headOf } from "../slab/slab-word.ts";

/** An object that is given out. */
export interface LiveObject {
  readonly cache: CacheRef;
  /** What its user was given. */
  readonly start: Pointer;
  /** Of `objectBytes`. */
  readonly words: number;
}

export class SlubObjects {
  private readonly memory: Memory;
  private readonly slabs: SlabPages;
  private readonly perCpu: PerCpu;
  private readonly cpus: number;
  /** Free objects of the slabs that were looked at. */
  private readonly free = new Map<PageRef, Set<Pointer>>();
  /** Of each cache, what CPUs have on lists of their own, by slab. */
  private readonly cpuLists = new Map<CacheRef, Map<PageRef, Pointer[]>>();

  constructor(slabs: SlabPages, perCpu: PerCpu, cpus: number) {
    this.memory = slabs.memory;
    this.slabs = slabs;
    this.perCpu = perCpu;
    this.cpus = cpus;
  }

  /** The object given out in whose words `address` lies, `slab` being its page; null when there is none. */
  at(slab: PageRef, address: Pointer): LiveObject | null {
    const { memory } = this;
    const cache = memory.read(slab + SlabPage.cache);
    const sizeWords = memory.read(cache + KmemCache.size) >> 2;
    const base = this.baseOf(slab);
    const index = Math.floor((address - base) / sizeWords);
    if (index < 0 || index >= memory.read(slab + SlabPage.objects)) return null;
    return this.object(slab, cache, base + index * sizeWords);
  }

  /** All objects of a slab that are given out. */
  all(slab: PageRef): LiveObject[] {
    const { memory } = this;
    const cache = memory.read(slab + SlabPage.cache);
    const sizeWords = memory.read(cache + KmemCache.size) >> 2;
    const base = this.baseOf(slab);
    const found: LiveObject[] = [];
    for (let i = 0; i < memory.read(slab + SlabPage.objects); i++) {
      const object = this.object(slab, cache, base + i * sizeWords);
      if (object !== null) found.push(object);
    }
    return found;
  }

  private object(slab: PageRef, cache: CacheRef, slot: Pointer): LiveObject | null {
    const start = slot + (this.memory.read(cache + KmemCache.redLeft) >> 2);
    if (this.freeOf(slab, cache).has(start)) return null;
    return { cache, start, words: (this.memory.read(cache + KmemCache.objectSize) + 3) >> 2 };
  }

  private baseOf(slab: PageRef): Pointer {
    return frameOf(this.slabs.frames.pfnOf(slab));
  }

  private freeOf(slab: PageRef, cache: CacheRef): Set<Pointer> {
    const known = this.free.get(slab);
    if (known !== undefined) return known;
    const { memory, slabs } = this;
    const left = memory.read(cache + KmemCache.redLeft) >> 2;
    const own = slabs.objectAt(cache, slab, headOf(memory.load(slab + SlabPage.counters)));
    const free = new Set(this.chain(cache, own === 0 ? 0 : own + left));
    for (const first of this.listsOf(cache).get(slab) ?? [])
      for (const object of this.chain(cache, first)) free.add(object);
    this.free.set(slab, free);
    return free;
  }

  private listsOf(cache: CacheRef): Map<PageRef, Pointer[]> {
    const known = this.cpuLists.get(cache);
    if (known !== undefined) return known;
    const { memory, perCpu } = this;
    const lists = new Map<PageRef, Pointer[]>();
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const own = perCpu.of(memory.read(cache + KmemCache.cpuSlab), cpu);
      const freelist = memory.read(own + KmemCacheCpu.freelist);
      const slab = memory.read(own + KmemCacheCpu.slab);
      if (freelist !== 0) lists.set(slab, [...(lists.get(slab) ?? []), freelist]);
    }
    this.cpuLists.set(cache, lists);
    return lists;
  }

  private *chain(cache: CacheRef, first: Pointer): Generator<Pointer> {
    for (let object = first; object !== 0; object = this.slabs.next(cache, object)) yield object;
  }
}
