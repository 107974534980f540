/** A cache of SLAB on a machine on the test's own thread, and what its lists and arrays hold. */

import type { Kernel } from "../../src/machine/kernel.ts";
import type { Pointer } from "../../src/memory/units.ts";
import { Gfp } from "../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../src/mm/slab/check-slabs.ts";
import type { CacheRef } from "../../src/mm/slab/kmem-cache.ts";
import type { CacheCount } from "../../src/mm/slab/object-allocator.ts";
import { SlabAllocator } from "../../src/mm/slab/slab/slab-allocator.ts";
import { AlienCache, ArrayCache, SlabCache, SlabNode } from "../../src/mm/slab/slab/structures.ts";
import { type Kernels, kernelsOf } from "./kernels.ts";

export interface SlabScene extends Kernels {
  readonly cache: CacheRef;
  count(): CacheCount;
  take(cpu: number, objects: number): Pointer[];
  give(cpu: number, objects: readonly Pointer[]): void;
  node(nid?: number): Pointer;
  /** Of node 0: partial, full and free slabs. */
  lists(): { partial: number; full: number; free: number };
  own(cpu: number): { avail: number; touched: number };
  shared(nid?: number): number;
  alien(from: number, home: number): number;
  slabOf(object: Pointer): Pointer;
}

/** 64 objects in a slab of one page; arrays of 120, in batches of 60. */
export const SMALL = { name: "small", objectBytes: 64 };
/** Two pages hold five, and leave room for ten colours. */
export const COLOURED = { name: "coloured", objectBytes: 1500 };

export function cacheOn(
  cpus: number,
  options: Parameters<Kernel["slabs"]["create"]>[0] = SMALL,
  nodes = 1,
): SlabScene {
  const machine = kernelsOf({ cpus, nodes, memory: nodes > 1 ? "128MiB" : "64MiB", slab: "slab" });
  const { kernels } = machine;
  const [{ slabs, perCpu, memory }] = kernels;
  const cache = slabs.create(options);
  const { allocator } = slabs;
  if (!(allocator instanceof SlabAllocator)) throw new Error(`the allocator is ${slabs.kind}`);
  const node = (nid = 0): Pointer => memory.read(cache + SlabCache.nodes + nid);
  const length = (head: Pointer): number => {
    let count = 0;
    for (let link = memory.read(head); link !== head; link = memory.read(link)) count++;
    return count;
  };
  const own = (cpu: number): Pointer => perCpu.of(memory.read(cache + SlabCache.cpuSlab), cpu);
  const alienOf = (from: number, home: number): Pointer =>
    memory.read(memory.read(node(from) + SlabNode.alien) + home);
  return {
    ...machine,
    cache,
    node,
    count: () => checkSlabs(slabs).find((entry) => entry.cache === cache)!,
    take: (cpu, objects) =>
      Array.from({ length: objects }, () => kernels[cpu].slabs.alloc(cache, Gfp.KERNEL)),
    give: (cpu, objects) => {
      for (const object of objects) kernels[cpu].slabs.free(cache, object);
    },
    lists: () => ({
      partial: length(node() + SlabNode.partial),
      full: length(node() + SlabNode.full),
      free: length(node() + SlabNode.free),
    }),
    own: (cpu) => ({
      avail: memory.read(own(cpu) + ArrayCache.avail),
      touched: memory.read(own(cpu) + ArrayCache.touched),
    }),
    shared: (nid = 0) => memory.read(memory.read(node(nid) + SlabNode.shared) + ArrayCache.avail),
    alien: (from, home) => memory.read(alienOf(from, home) + AlienCache.array + ArrayCache.avail),
    slabOf: (object) => allocator.objects.nodeSlabs.backing.slabOf(object),
  };
}
