/** Each invariant of slabs, broken on purpose: the check must say which, and where. */

import { expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { SlabPage } from "../../../src/mm/pages/page-overlays.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KmemCache, KmemCacheCpu, KmemCacheNode } from "../../../src/mm/slab/kmem-cache.ts";
import { FROZEN } from "../../../src/mm/slab/slab-word.ts";
import { kernelsOf } from "../../support/kernels.ts";

interface Scene {
  readonly kernel: Kernel;
  readonly cache: Pointer;
  readonly node: Pointer;
  /** CPU 0's part of the cache. */
  readonly own: Pointer;
  /** A slab that CPU 0 allocates from, one on its list, one that is full. */
  readonly current: Pointer;
  readonly listed: Pointer;
  readonly full: Pointer;
}

/** Four objects of 8 KiB in each slab. */
function scene(): Scene {
  const {
    kernels: [kernel],
  } = kernelsOf({ cpus: 2 });
  const { slabs, memory, perCpu } = kernel;
  const cache = slabs.create({ name: "scene", objectBytes: 8192 });
  const objects = Array.from({ length: 14 }, () => slabs.alloc(cache, Gfp.KERNEL));
  const slabOf = (i: number): Pointer => slabs.slabs.slabOf(objects[i]);
  slabs.free(cache, objects[0]);
  const own = perCpu.here(memory.read(cache + KmemCache.cpuSlab));
  slabs.flushAll(cache);
  for (let i = 0; i < 3; i++) objects.push(slabs.alloc(cache, Gfp.KERNEL));
  slabs.free(cache, objects[4]);
  const node = memory.read(cache + KmemCache.nodes);
  checkSlabs(slabs);
  return {
    kernel,
    cache,
    node,
    own,
    current: memory.read(own + KmemCacheCpu.slab),
    listed: memory.read(own + KmemCacheCpu.partial),
    full: slabOf(8),
  };
}

const add = ({ kernel: { memory } }: Scene, at: Pointer, value: number): void =>
  memory.write(at, memory.read(at) + value);

test.each<[string, (s: Scene) => void, RegExp]>([
  [
    "inuse too high",
    (s) => add(s, s.listed + SlabPage.counters, 1),
    /^U1 .*1 of 4 objects are free, inuse is 4/,
  ],
  [
    "an object free twice",
    (s) => {
      const { slabs, memory } = s.kernel;
      const free = slabs.slabs.objectAt(s.cache, s.listed, memory.read(s.listed + SlabPage.counters) >>> 16);
      slabs.slabs.setNext(s.cache, free, free);
    },
    /^U2 .* is free twice/,
  ],
  [
    "a free object outside its slab",
    (s) => s.kernel.memory.write(s.own + KmemCacheCpu.freelist, s.kernel.slabs.slabs.baseOf(s.full)),
    /^U1 .* is not in it/,
  ],
  [
    "a frozen slab on a list",
    (s) => s.kernel.memory.or(s.listed + SlabPage.counters, FROZEN),
    /^U3 .*frozen is true, it is in cache scene cpu 0 partial list/,
  ],
  [
    "a CPU's slab that is not frozen",
    (s) => s.kernel.memory.and(s.current + SlabPage.counters, ~FROZEN),
    /^U3 .*frozen is false, it is in cache scene cpu 0/,
  ],
  [
    "a slab that nobody has",
    (s) => s.kernel.memory.write(s.own + KmemCacheCpu.partial, 0),
    /^U4 .*1 objects are free, it is in no list/,
  ],
  [
    "a full slab on a list",
    (s) => {
      const { memory } = s.kernel;
      memory.write(s.listed + SlabPage.next, s.full);
      memory.write(s.full + SlabPage.next, 0);
      memory.write(s.listed + SlabPage.slabs, 2);
    },
    /^U4 .*0 objects are free, it is in cache scene cpu 0 partial list/,
  ],
  [
    "onNodeList wrong",
    (s) => s.kernel.memory.write(s.listed + SlabPage.onNodeList, 1),
    /^U4 .*onNodeList is 1/,
  ],
  [
    "a CPU's list miscounted",
    (s) => add(s, s.listed + SlabPage.slabs, 1),
    /^U5 cache scene cpu 0: .* 1 slabs/,
  ],
  ["a node's list miscounted", (s) => add(s, s.node + KmemCacheNode.nrPartial, 1), /^U5 cache scene node 0/],
  ["slabs miscounted", (s) => add(s, s.node + KmemCacheNode.nrSlabs, 1), /^U6 cache scene node 0: /],
  ["objects miscounted", (s) => add(s, s.node + KmemCacheNode.totalObjects, -1), /^U6 cache scene node 0: /],
  ["a slab of no cache", (s) => s.kernel.memory.write(s.full + SlabPage.cache, 8), /belongs to word 8/],
])("%s is found", (_name, damage, message) => {
  const s = scene();
  damage(s);
  expect(() => checkSlabs(s.kernel.slabs)).toThrow(message);
});

test("a cache's structure that is lost is found", () => {
  const { kernel } = scene();
  const kmemCache = kernel.slabs.all()[0];
  kernel.slabs.alloc(kmemCache, Gfp.KERNEL);
  expect(() => checkSlabs(kernel.slabs)).toThrow(
    "U1 cache kmem_cache: 4 objects are in use, there are 3 of them",
  );
});
