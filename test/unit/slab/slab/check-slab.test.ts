/** Each invariant of SLAB, broken on purpose: the check must say which, and where. */

import { expect, test } from "vitest";
import type { Kernel } from "../../../../src/machine/kernel.ts";
import type { Pointer } from "../../../../src/memory/units.ts";
import { Gfp } from "../../../../src/mm/pages/gfp.ts";
import { SlabPage } from "../../../../src/mm/pages/page-overlays.ts";
import { checkSlabs } from "../../../../src/mm/slab/check-slabs.ts";
import { SlabAllocator } from "../../../../src/mm/slab/slab/slab-allocator.ts";
import { ArrayCache, ENTRIES, SlabCache, SlabNode } from "../../../../src/mm/slab/slab/structures.ts";
import { kernelsOf } from "../../../support/kernels.ts";

interface Scene {
  readonly kernel: Kernel;
  readonly node: Pointer;
  /** CPU 0's array: it holds objects. */
  readonly own: Pointer;
  readonly objects: readonly Pointer[];
  /** A slab of which some objects are free, and one that is full. */
  readonly partial: Pointer;
  readonly full: Pointer;
}

function scene(): Scene {
  const {
    kernels: [kernel],
  } = kernelsOf({ cpus: 2, slab: "slab" });
  const { slabs, memory, perCpu } = kernel;
  const { allocator } = slabs;
  if (!(allocator instanceof SlabAllocator)) throw new Error(`the allocator is ${slabs.kind}`);
  const cache = slabs.create({ name: "scene", objectBytes: 512 });
  const objects = Array.from({ length: 16 }, () => slabs.alloc(cache, Gfp.KERNEL));
  slabs.flushAll(cache);
  slabs.free(cache, objects[8]);
  slabs.free(cache, objects[9]);
  slabs.flushAll(cache);
  for (const object of [10, 11]) slabs.free(cache, objects[object]);
  const { backing } = allocator.objects.nodeSlabs;
  checkSlabs(slabs);
  return {
    kernel,
    node: memory.read(cache + SlabCache.nodes),
    own: perCpu.here(memory.read(cache + SlabCache.cpuSlab)),
    objects,
    partial: backing.slabOf(objects[8]),
    full: backing.slabOf(objects[0]),
  };
}

const add = ({ kernel: { memory } }: Scene, at: Pointer, value: number): void =>
  memory.write(at, memory.read(at) + value);

test.each<[string, (s: Scene) => void, RegExp]>([
  [
    "an object in an array twice",
    (s) => s.kernel.memory.write(s.own + ENTRIES + 1, s.kernel.memory.read(s.own + ENTRIES)),
    /^S1 cache scene cpu 0: word \d+ is in cache scene cpu 0, too/,
  ],
  [
    "an object free and in an array",
    (s) => s.kernel.memory.write(s.own + ENTRIES, s.objects[8]),
    /^S1 .*is free and in cache scene cpu 0/,
  ],
  [
    "what is no object in an array",
    (s) => add(s, s.own + ENTRIES, 4),
    /^S1 cache scene cpu 0: word \d+ is no object/,
  ],
  [
    "an index free twice",
    (s) => {
      const { memory } = s.kernel;
      const indexes = memory.read(s.partial + SlabPage.freelist) * 4;
      memory.writeByte(indexes + 6, memory.readByte(indexes + 7));
    },
    /^S2 .*is free twice/,
  ],
  [
    "an index out of range",
    (s) => {
      const { memory } = s.kernel;
      memory.writeByte(memory.read(s.partial + SlabPage.freelist) * 4 + 6, 9);
    },
    /^S2 .*index 9 is free twice, or out of range/,
  ],
  [
    "indexes in an object that is not the last",
    (s) => {
      const { memory } = s.kernel;
      const indexes = memory.read(s.partial + SlabPage.freelist) * 4;
      const [a, b] = [6, 7].map((i) => memory.readByte(indexes + i));
      memory.writeByte(indexes + 6, b);
      memory.writeByte(indexes + 7, a);
    },
    /^S2 .*the last one is of word/,
  ],
  [
    "a full slab that keeps its indexes",
    (s) => s.kernel.memory.write(s.full + SlabPage.freelist, s.objects[0]),
    /^S2 .*8 of 8 objects are in use, its indexes are in word/,
  ],
  [
    "a slab on the wrong list",
    (s) => {
      const { memory } = s.kernel;
      for (const i of [0, 1]) {
        const first = memory.read(s.node + SlabNode.full + i);
        memory.write(s.node + SlabNode.full + i, memory.read(s.node + SlabNode.partial + i));
        memory.write(s.node + SlabNode.partial + i, first);
      }
      for (const list of [SlabNode.full, SlabNode.partial]) {
        memory.write(memory.read(s.node + list) + 1, s.node + list);
        memory.write(memory.read(s.node + list + 1), s.node + list);
      }
    },
    /^S3 .*it is on cache scene node 0 (full|partial) list/,
  ],
  ["slabs miscounted", (s) => add(s, s.node + SlabNode.totalSlabs, 1), /^S4 cache scene node 0: 2 slabs/],
  ["free slabs miscounted", (s) => add(s, s.node + SlabNode.freeSlabs, 1), /^S4 cache scene node 0: 2 slabs/],
  [
    "free objects miscounted",
    (s) => add(s, s.node + SlabNode.freeObjects, -1),
    /^S4 .* 2 free objects; the node says 2, 0, 1/,
  ],
  [
    "an array that is too full",
    (s) => s.kernel.memory.write(s.own + ArrayCache.avail, 55),
    /^S5 cache scene cpu 0: it holds 55 objects, at most 54 fit/,
  ],
  ["a slab of no cache", (s) => s.kernel.memory.write(s.full + SlabPage.cache, 8), /belongs to word 8/],
  [
    "an array that was freed",
    (s) => {
      const shared = s.kernel.memory.read(s.node + SlabNode.shared);
      const { allocator } = s.kernel.slabs;
      if (allocator instanceof SlabAllocator) allocator.arrays.freeSized(shared);
    },
    /^S1 word \d+ is in use by SLAB and not given out/,
  ],
])("%s is found", (_name, damage, message) => {
  const s = scene();
  damage(s);
  expect(() => checkSlabs(s.kernel.slabs)).toThrow(message);
});

test("a cache's structure that is lost is found", () => {
  const { kernel } = scene();
  kernel.slabs.alloc(kernel.slabs.all()[0], Gfp.KERNEL);
  expect(() => checkSlabs(kernel.slabs)).toThrow(
    "S1 cache kmem_cache: 11 objects are in use, there are 10 of them",
  );
});
