/** What only SLOB has: first fit by address, merging, three lists of pages, sizes before the objects; and its check. */

import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../../src/machine/kernel.ts";
import { FRAME_WORDS, type Pointer, WORD_BYTES } from "../../../../src/memory/units.ts";
import { NodeStat } from "../../../../src/mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../../../../src/mm/pages/gfp.ts";
import { PAGE_LINKS } from "../../../../src/mm/pages/page.ts";
import { SlabPage } from "../../../../src/mm/pages/page-overlays.ts";
import { checkSlabs } from "../../../../src/mm/slab/check-slabs.ts";
import { SlabFlag } from "../../../../src/mm/slab/slab-flags.ts";
import type { Slob } from "../../../../src/mm/slab/slob/slob.ts";
import { SlobAllocator } from "../../../../src/mm/slab/slob/slob-allocator.ts";
import { END } from "../../../../src/mm/slab/slob/slob-blocks.ts";
import { SlobGlobals } from "../../../../src/mm/slab/slob/structures.ts";
import { type Kernels, kernelsOf } from "../../../support/kernels.ts";

interface Scene extends Kernels {
  readonly kernel: Kernel;
  readonly slob: Slob;
  take(bytes: number, alignBytes?: number): Pointer;
  /** Pages of a list, first to last, as page frames. */
  list(index: number): number[];
  /** Free blocks of the page of `object`: first byte and bytes. */
  blocks(object: Pointer): [number, number][];
}

function scene(nodes = 1): Scene {
  const machine = kernelsOf({ cpus: 2, nodes, memory: nodes > 1 ? "128MiB" : "16MiB", slab: "slob" });
  const [kernel] = machine.kernels;
  const { slabs, memory } = kernel;
  const { allocator } = slabs;
  if (!(allocator instanceof SlobAllocator)) throw new Error(`the allocator is ${slabs.kind}`);
  const slob = allocator.objects;
  return {
    ...machine,
    kernel,
    slob,
    take: (bytes, alignBytes = 0) => slob.allocBytes(bytes, Gfp.KERNEL, alignBytes, -1, 0),
    list: (index) => {
      const head = slob.globals + SlobGlobals.lists + 2 * index;
      const found: number[] = [];
      for (let link = memory.read(head); link !== head; link = memory.read(link))
        found.push(slob.backing.frames.pfnOf(link - PAGE_LINKS));
      return found;
    },
    blocks: (object) => {
      const slab = slob.backing.slabOf(object);
      const found: [number, number][] = [];
      for (let at = memory.read(slab + SlabPage.freelist); at !== END; at = slob.blocks.next(slab, at))
        found.push([at * 2, slob.blocks.units(slab, at) * 2]);
      return found;
    },
  };
}

const byteIn = (object: Pointer): number => (object % FRAME_WORDS) * WORD_BYTES;
const frameOf = (object: Pointer): number => Math.floor(object / FRAME_WORDS);

describe("blocks", () => {
  test("follow each other in a page, and leave its rest free", () => {
    const s = scene();
    const blocks = [100, 40, 8].map((bytes) => s.take(bytes));
    expect(blocks.map(byteIn)).toEqual([0, 100, 140]);
    expect(s.blocks(blocks[0])).toEqual([[148, 4096 - 148]]);
    s.check();
  });

  test("are taken from the first place with room, the lowest address", () => {
    const s = scene();
    const all = [64, 32, 128, 32, 64].map((bytes) => s.take(bytes));
    s.slob.freeBytes(all[1], 32);
    s.slob.freeBytes(all[2], 128);
    s.slob.freeBytes(all[4], 64);
    // Holes: 160 bytes at 64, and from 256 on.
    expect(s.blocks(all[0])).toEqual([
      [64, 160],
      [256, 4096 - 256],
    ]);
    expect(byteIn(s.take(200))).toBe(256);
    expect(byteIn(s.take(100))).toBe(64);
    expect(byteIn(s.take(60))).toBe(164);
    expect(byteIn(s.take(4))).toBe(456);
    s.check();
  });

  test.each<[string, number[], [number, number][]]>([
    ["the one before", [0, 1], [[0, 64]]],
    ["the one after", [1, 0], [[0, 64]]],
    ["both", [0, 2, 1], [[0, 96]]],
    ["none", [0, 2], [[0, 32], [64, 32]]], // biome-ignore format: pairs
    ["the free end of the page", [4], [[128, 4096 - 128]]],
  ])("that are freed merge with %s", (_name, order, expected) => {
    const s = scene();
    const all = Array.from({ length: 5 }, () => s.take(32));
    const rest: [number, number] = [160, 4096 - 160];
    for (const index of order) s.slob.freeBytes(all[index], 32);
    expect(s.blocks(all[3])).toEqual(order.includes(4) ? expected : [...expected, rest]);
    s.check();
  });

  test("of two bytes are linked, too", () => {
    const s = scene();
    const slab = s.slob.backing.slabOf(s.take(2));
    const all = [0, ...Array.from({ length: 6 }, () => s.slob.blocks.take(slab, 2, 0, 0))];
    expect(all).toEqual([0, 2, 4, 6, 8, 10, 12]);
    s.slob.blocks.put(slab, 1, 1);
    s.slob.blocks.put(slab, 5, 1);
    s.slob.blocks.put(slab, 3, 1);
    const found: number[] = [];
    const { memory } = s.kernel;
    for (let at = memory.read(slab + SlabPage.freelist); at !== END; at = s.slob.blocks.next(slab, at))
      found.push(at);
    expect(found).toEqual([1, 3, 5, 7]);
    expect(s.slob.blocks.units(slab, 3)).toBe(1);
  });

  test("are aligned, and what lies before stays free", () => {
    const s = scene();
    const first = s.take(20);
    const second = s.take(64, 256);
    expect([first, second].map(byteIn)).toEqual([0, 256]);
    expect(s.blocks(first)).toEqual([
      [20, 236],
      [320, 4096 - 320],
    ]);
    expect(byteIn(s.take(200))).toBe(20);
    s.check();
  });
});

describe("pages", () => {
  test("are on a list by the size of what they were made for", () => {
    const s = scene();
    const all = [255, 256, 1023, 1024, 100].map((bytes) => s.take(bytes));
    expect([s.list(0), s.list(1), s.list(2)]).toEqual([
      [frameOf(all[0])],
      [frameOf(all[1])],
      [frameOf(all[3])],
    ]);
    // The same list, the same page.
    expect(frameOf(all[2])).toBe(frameOf(all[1]));
    expect(frameOf(all[4])).toBe(frameOf(all[0]));
    s.check();
  });

  test("that become full leave the list, and come back with the first free", () => {
    const s = scene();
    const all = Array.from({ length: 4 }, () => s.take(1024));
    expect(s.list(2)).toEqual([]);
    s.slob.freeBytes(all[1], 1024);
    expect(s.list(2)).toEqual([frameOf(all[0])]);
    expect(s.blocks(all[0])).toEqual([[1024, 1024]]);
    s.check();
  });

  test("that are all free go back", () => {
    const s = scene();
    const before = s.check();
    const all = [10, 300, 2000].map((bytes) => s.take(bytes));
    expect(s.check()).toBe(before - 3);
    for (const [i, bytes] of [10, 300, 2000].entries()) s.slob.freeBytes(all[i], bytes);
    expect(s.check()).toBe(before);
    expect([s.list(0), s.list(1), s.list(2)]).toEqual([[], [], []]);
  });

  test("the page that had room becomes the first of its list", () => {
    const s = scene();
    // Three pages, of which the last made comes first.
    const all = Array.from({ length: 3 }, () => [s.take(2000), s.take(2000)]);
    const [a, b, c] = all.map(([object]) => frameOf(object));
    expect(s.list(2)).toEqual([c, b, a]);
    s.slob.freeBytes(all[0][0], 2000);
    expect(s.list(2)).toEqual([c, b, a]);
    expect(frameOf(s.take(1500))).toBe(a);
    expect(s.list(2)).toEqual([a, c, b]);
    s.slob.freeBytes(all[1][1], 2000);
    expect(frameOf(s.take(1800))).toBe(b);
    expect(s.list(2)).toEqual([b, a, c]);
    s.check();
  });

  test("of the node asked for are searched", () => {
    const s = scene(2);
    const { frames } = s.kernel.pages;
    const on = (node: number): Pointer => s.slob.allocBytes(64, Gfp.KERNEL, 0, node, 0);
    const all = [on(0), on(1), on(0), on(1)];
    expect(all.map((object) => frames.nodeOf(s.slob.backing.slabOf(object)))).toEqual([0, 1, 0, 1]);
    expect(all.map(byteIn)).toEqual([0, 0, 64, 64]);
    s.check();
  });
});

describe("caches", () => {
  test("have objects of their size and alignment, constructed each time, and pages for large ones", () => {
    const s = scene();
    const { slabs, functions, memory, pages } = s.kernel;
    const construct = functions.register("fill", (_cpu, object) => memory.write(object + 1, 1234));
    const made = slabs.create({ name: "made", objectBytes: 24, construct });
    const first = slabs.alloc(made, Gfp.KERNEL);
    expect(memory.read(first + 1)).toBe(1234);
    memory.write(first + 1, 0);
    slabs.free(made, first);
    expect(slabs.alloc(made, Gfp.KERNEL)).toBe(first);
    expect(memory.read(first + 1)).toBe(1234);
    const node = pages.frames.nodeAt(0);
    const before = pages.vmstat.nodeStateSnapshot(node, NodeStat.nr_slab_unreclaimable);
    const large = slabs.create({ name: "large", objectBytes: 10_000 });
    const object = slabs.alloc(large, Gfp.KERNEL | GfpFlag.ZERO);
    expect(byteIn(object)).toBe(0);
    expect(memory.read(object + 2499)).toBe(0);
    expect(pages.vmstat.nodeStateSnapshot(node, NodeStat.nr_slab_unreclaimable)).toBe(before + 4);
    s.check();
    slabs.free(large, object);
    expect(pages.vmstat.nodeStateSnapshot(node, NodeStat.nr_slab_unreclaimable)).toBe(before);
    s.check();
  });

  test("all or none are given in bulk", () => {
    const s = scene();
    const { slabs } = s.kernel;
    const cache = slabs.create({ name: "huge", objectBytes: 1 << 20 });
    const kept: Pointer[] = [];
    const before = s.check();
    expect(slabs.allocBulk(cache, Gfp.NOWAIT, 64, kept)).toBe(false);
    expect(kept).toEqual([]);
    expect(s.check()).toBe(before);
  });

  test("of TYPESAFE_BY_RCU keep their objects for a grace period", () => {
    const s = scene();
    const { slabs, rcu } = s.kernel;
    const cache = slabs.create({ name: "safe", objectBytes: 20, flags: SlabFlag.TYPESAFE_BY_RCU });
    const objects = [0, 1].map(() => slabs.alloc(cache, Gfp.KERNEL));
    expect(objects[1] - objects[0]).toBe((24 + 24) / WORD_BYTES);
    const before = s.blocks(objects[1]);
    slabs.free(cache, objects[0]);
    expect(s.blocks(objects[1])).toEqual(before);
    rcu.barrier();
    expect(s.blocks(objects[1])).not.toEqual(before);
    s.check();
  });
});

describe("kmalloc", () => {
  test("has its size before it, and powers of two are aligned to themselves", () => {
    const s = scene();
    const { heap, memory } = s.kernel;
    const odd = heap.kmalloc(20, Gfp.KERNEL);
    expect([byteIn(odd), memory.read(odd - 2), heap.ksize(odd)]).toEqual([8, 20, 20]);
    const even = heap.kmalloc(128, Gfp.KERNEL);
    expect([byteIn(even), memory.read(even - 2)]).toEqual([128, 128]);
    expect(s.blocks(odd)).toEqual([
      [28, 92],
      [256, 4096 - 256],
    ]);
    s.check();
    heap.kfree(odd);
    heap.kfree(even);
    s.check();
  });

  test("of a page less its header and more is pages", () => {
    const s = scene();
    const { heap } = s.kernel;
    const before = s.check();
    expect([4087, 4088, 9000].map((bytes) => heap.ksize(heap.kmalloc(bytes, Gfp.KERNEL)))).toEqual([
      4088, 4096, 16_384,
    ]);
    expect(s.check()).toBe(before - 1 - 1 - 4);
  });

  test("grows with its content", () => {
    const s = scene();
    const { heap, memory } = s.kernel;
    let object = heap.kzalloc(6, Gfp.KERNEL);
    memory.write(object, 7);
    object = heap.krealloc(object, 3000, Gfp.KERNEL | GfpFlag.ZERO);
    expect([memory.read(object), memory.read(object + 1), memory.read(object + 749)]).toEqual([7, 0, 0]);
    object = heap.krealloc(object, 8000, Gfp.KERNEL);
    expect(memory.read(object)).toBe(7);
    heap.kfree(object);
    s.check();
  });
});

test.each<[string, (s: Scene, slab: Pointer) => void, RegExp]>([
  [
    "free units miscounted",
    ({ kernel: { memory } }, slab) => memory.write(slab + SlabPage.active, 9),
    /^O1 /,
  ],
  [
    "blocks out of order",
    ({ kernel: { memory }, slob }, slab) => {
      const page = slob.backing.baseOf(slab) * WORD_BYTES;
      memory.write(slab + SlabPage.freelist, 80);
      memory.writeByte(page + 162, 16);
      memory.writeByte(page + 163, 0);
    },
    /^O1 page \d+: free block of 16 units at unit 16, the one before ends at 2048/,
  ],
  [
    "a page that is on no list",
    ({ kernel: { memory }, slob }) => {
      const head = slob.globals + SlobGlobals.lists;
      memory.write(head, head);
      memory.write(head + 1, head);
    },
    /^O2 page \d+: \d+ units are free, onNodeList is 1, it is on no list/,
  ],
  [
    "a full page on a list",
    ({ kernel: { memory } }, slab) => memory.write(slab + SlabPage.active, 0),
    /^O2 page \d+: 0 units are free/,
  ],
])("%s: found", (_name, damage, message) => {
  const s = scene();
  const all = Array.from({ length: 5 }, () => s.take(32));
  s.slob.freeBytes(all[1], 32);
  checkSlabs(s.kernel.slabs);
  damage(s, s.slob.backing.slabOf(all[0]));
  expect(() => checkSlabs(s.kernel.slabs)).toThrow(message);
});

test("a wrong free stops the machine", () => {
  const s = scene();
  const block = s.take(32);
  expect(() => s.slob.freeBytes(block, 64)).toThrow(/units of its page would be free/);
  expect(() => s.slob.freeBytes(block, 4096)).toThrow(/no object of pages begins there/);
});
