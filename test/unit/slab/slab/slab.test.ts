/** What only SLAB has: colours, three lists, arrays and alien arrays, and where free indexes are. */

import { describe, expect, test } from "vitest";
import { FRAME_WORDS, type Pointer, WORD_BYTES } from "../../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../../src/mm/pages/gfp.ts";
import { SlabPage } from "../../../../src/mm/pages/page-overlays.ts";
import { checkSlabs } from "../../../../src/mm/slab/check-slabs.ts";
import { SlabCache, SlabNode } from "../../../../src/mm/slab/slab/structures.ts";
import { SlabFlag } from "../../../../src/mm/slab/slab-flags.ts";
import { kernelsOf } from "../../../support/kernels.ts";
import { COLOURED, cacheOn, SMALL } from "../../../support/slab-scene.ts";

describe("the first caches", () => {
  test("are kmem_cache, which lies in the kernel image, and those by size", () => {
    const c = cacheOn(2);
    const names = checkSlabs(c.kernels[0].slabs).map(({ name }) => name);
    expect(names).toEqual([
      "kmem_cache",
      "size-96",
      ...[32, 64, 128, 192, 256, 512, 1024, 2048].map((size) => `size-${size}`),
      "small",
    ]);
    expect(checkSlabs(c.kernels[0].slabs)[0].active).toBe(10);
    c.check();
  });
});

describe("colours", () => {
  test("successive slabs begin a line further each, and then again at the start", () => {
    const c = cacheOn(1, COLOURED);
    const objects = c.take(0, 5 * 12);
    const slabs = [...new Set(objects.map(c.slabOf))];
    const starts = slabs.map(
      (slab) => c.kernels[0].memory.read(slab + SlabPage.firstObject) % (2 * FRAME_WORDS),
    );
    // The first slab has colour 1: the counter goes up before it is used.
    const lines = starts.map((words) => (words * WORD_BYTES) / 64);
    expect(lines.slice(0, 12)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]);
    c.check();
  });
});

describe("an array", () => {
  test("is filled by a batch, smaller while nobody uses it, and gives back what came last", () => {
    const c = cacheOn(1);
    const [first] = c.take(0, 1);
    expect(c.own(0)).toEqual({ avail: 15, touched: 1 });
    c.take(0, 16);
    expect(c.own(0).avail).toBe(47); // the rest of the slab
    c.give(0, [first]);
    expect(c.take(0, 1)).toEqual([first]);
    c.check();
  });

  test("that is full gives its oldest batch to the node's, and that, when it is full, to the slabs", () => {
    const c = cacheOn(2);
    const objects = c.take(0, 20 * 64);
    const left = c.own(0).avail;
    c.give(0, objects.slice(0, 120 - left));
    expect([c.own(0).avail, c.shared()]).toEqual([120, 0]);
    c.give(0, objects.slice(120 - left, 121 - left));
    expect([c.own(0).avail, c.shared()]).toEqual([61, 60]);
    c.give(0, objects.slice(121 - left, 121 - left + 59 + 8 * 60));
    // Eight batches fit; the ninth has gone to the slabs.
    expect(c.shared()).toBe(480);
    expect(c.lists().partial + c.lists().free).toBeGreaterThan(0);
    c.check();
    // The other CPU takes what was shared: no slab is touched.
    const before = c.lists();
    c.take(1, 1);
    expect([c.shared(), c.own(1).avail]).toEqual([464, 15]);
    expect(c.lists()).toEqual(before);
    c.check();
  });

  test("is shared by nobody on a machine of one CPU", () => {
    const c = cacheOn(1);
    expect(c.kernels[0].memory.read(c.node() + SlabNode.shared)).toBe(0);
  });
});

describe("slabs", () => {
  test("are on the list of their state: full, partial, free", () => {
    const c = cacheOn(1, { name: "large", objectBytes: 8192 });
    // One object a slab, arrays of eight.
    const objects = c.take(0, 3);
    expect(c.lists()).toEqual({ partial: 0, full: 3 + c.own(0).avail, free: 0 });
    c.give(0, objects);
    c.kernels[0].slabs.flushAll(c.cache);
    expect(c.lists().full).toBe(0);
    expect(c.lists().free).toBe(c.count().slabs);
    c.check();
  });

  test("with objects free are partial ones, used before free ones", () => {
    const c = cacheOn(1);
    const objects = c.take(0, 2 * 64);
    c.kernels[0].slabs.flushAll(c.cache);
    expect(c.lists()).toEqual({ partial: 0, full: 2, free: 0 });
    c.give(0, [objects[0], ...objects.slice(64)]);
    c.kernels[0].slabs.flushAll(c.cache);
    expect(c.lists()).toEqual({ partial: 1, full: 0, free: 1 });
    // A batch of sixty: the one of the partial slab came into the array first.
    expect(c.take(0, 60).at(-1)).toBe(objects[0]);
    expect(c.lists()).toEqual({ partial: 1, full: 1, free: 0 });
    c.check();
  });

  test("beyond a node's limit of free objects go back at once", () => {
    const c = cacheOn(1);
    const limit = c.kernels[0].memory.read(c.node() + SlabNode.freeLimit);
    expect(limit).toBe(2 * 60 + 64);
    c.give(0, c.take(0, 20 * 64));
    c.kernels[0].slabs.flushAll(c.cache);
    expect(c.count()).toMatchObject({ active: 0, slabs: Math.floor(limit / 64) });
    c.check();
  });

  test("of one page and more give all pages back at the end", () => {
    for (const objectBytes of [8, 56, 64, 1500, 5000, 20_000]) {
      const c = cacheOn(2, { name: "some", objectBytes });
      const flags = SlabFlag.NO_MERGE;
      c.kernels[0].slabs.destroy(c.kernels[0].slabs.create({ name: "warm", objectBytes, flags }));
      const objects = c.take(0, 300);
      expect(new Set(objects).size).toBe(300);
      expect(c.count().active).toBe(300);
      c.check();
      expect(c.kernels[0].slabs.destroy(c.cache)).toBe(false);
      c.give(1, objects);
      expect(c.count().active).toBe(0);
      expect(c.kernels[1].slabs.destroy(c.cache)).toBe(true);
      c.check();
    }
  });
});

describe("free indexes", () => {
  test("lie in the last free object, and nowhere when there is none", () => {
    const c = cacheOn(1);
    const [{ memory }] = c.kernels;
    const objects = c.take(0, 64);
    const slab = c.slabOf(objects[0]);
    expect(memory.read(slab + SlabPage.freelist)).toBe(0);
    c.give(0, [objects[10], objects[3]]);
    c.kernels[0].slabs.flushAll(c.cache);
    expect(memory.read(slab + SlabPage.freelist)).toBe(objects[10]);
    expect(c.take(0, 2)).toContain(objects[10]);
    expect(memory.read(slab + SlabPage.freelist)).toBe(0);
    c.check();
  });

  test("lie behind the objects", () => {
    const c = cacheOn(1, { name: "behind", objectBytes: 56 });
    const [{ memory }] = c.kernels;
    const [object] = c.take(0, 1);
    const page = Math.floor(object / FRAME_WORDS) * 4096;
    expect(Array.from({ length: 71 }, (_, i) => memory.readByte(page + 4096 - 71 + i))).toEqual(
      Array.from({ length: 71 }, (_, i) => i),
    );
    expect(memory.read(c.cache + SlabCache.freelistCache)).not.toBe(0);
  });

  test("lie in an object of another cache, which is freed with the slab", () => {
    const machine = kernelsOf({ cpus: 1, slab: "slab" });
    const [kernel] = machine.kernels;
    const { slabs, memory, functions } = kernel;
    const construct = functions.register("fill", (_cpu, object) => memory.fill(object, 256, 0x5a5a));
    const cache = slabs.create({ name: "made", objectBytes: 1024, construct });
    const active = (name: string): number =>
      checkSlabs(slabs).find((entry) => entry.name === name)?.active ?? -1;
    const before = active("size-32");
    const objects = Array.from({ length: 8 }, () => slabs.alloc(cache, Gfp.KERNEL));
    // A new slab at a time, of four objects.
    expect(active("size-32")).toBe(before + 2);
    for (const object of objects) {
      expect(memory.read(object + 255)).toBe(0x5a5a);
      slabs.free(cache, object);
    }
    machine.check();
    expect(slabs.shrink(cache)).toBe(true);
    expect(active("size-32")).toBe(before);
    machine.check();
  });
});

describe("on several nodes", () => {
  test("objects of another node wait in an array for it, twelve at most, and go home together", () => {
    const c = cacheOn(4, SMALL, 2);
    const [{ topology }] = c.kernels;
    expect(topology.cpuNode.slice(0, 4)).toEqual([0, 0, 1, 1]);
    const objects = c.take(0, 40);
    c.give(2, objects.slice(0, 12));
    expect([c.alien(1, 0), c.shared(0)]).toEqual([12, 0]);
    expect(c.own(2).avail).toBe(0);
    c.give(3, objects.slice(12, 13));
    expect([c.alien(1, 0), c.shared(0)]).toEqual([1, 12]);
    c.give(0, c.take(2, 1));
    expect(c.alien(0, 1)).toBe(1);
    c.check();
    expect(c.count().active).toBe(40 - 13);
  });

  test("what does not fit into the home node's shared array goes to its slabs", () => {
    const c = cacheOn(2, { name: "large", objectBytes: 8192 }, 2);
    const objects = c.take(0, 13);
    c.give(1, objects.slice(0, 12));
    const { free } = c.lists();
    c.give(1, objects.slice(12));
    expect(c.alien(1, 0)).toBe(1);
    // No shared array: twelve slabs are free, and some have gone back already.
    expect(c.lists().free).toBeGreaterThan(free);
    expect(c.count().active).toBe(0);
    c.check();
  });

  test("an object comes from the node asked for, past the CPU's array", () => {
    const c = cacheOn(2, SMALL, 2);
    const [{ slabs, pages }] = c.kernels;
    const nodeOf = (object: Pointer): number => pages.frames.nodeOf(c.slabOf(object));
    const far = slabs.allocNode(c.cache, Gfp.KERNEL, 1);
    const near = slabs.allocNode(c.cache, Gfp.KERNEL, 0);
    expect([far, near].map(nodeOf)).toEqual([1, 0]);
    expect(c.own(0).avail).toBe(15);
    expect(c.own(1).avail).toBe(0);
    c.check();
  });

  test("a node without memory takes what others have, unless it must not", () => {
    const c = cacheOn(2, { name: "large", objectBytes: 4096 }, 2);
    const [{ slabs, pages }] = c.kernels;
    const far = slabs.allocNode(c.cache, Gfp.KERNEL, 1);
    const flags = Gfp.NOWAIT | GfpFlag.THISNODE | GfpFlag.MEMALLOC | GfpFlag.NOWARN;
    while (pages.allocPagesNode(0, flags, 0) !== 0);
    const only = Gfp.NOWAIT | GfpFlag.THISNODE;
    let object = slabs.alloc(c.cache, only);
    while (object !== 0) object = slabs.alloc(c.cache, only);
    const other = slabs.alloc(c.cache, Gfp.NOWAIT);
    expect([far, other].map((at) => pages.frames.nodeOf(c.slabOf(at)))).toEqual([1, 1]);
  });

  test("a CPU that leaves empties its array and its node's", () => {
    const c = cacheOn(4, SMALL, 2);
    c.give(2, c.take(0, 5));
    c.give(0, c.take(0, 200));
    c.kernels[2].takeDown();
    expect([c.alien(1, 0), c.own(2).avail]).toEqual([0, 0]);
    c.kernels[0].takeDown();
    expect([c.own(0).avail, c.shared(0)]).toEqual([0, 0]);
    c.check();
  });
});

describe("bulk", () => {
  test("all or none are given", () => {
    const c = cacheOn(1, { name: "huge", objectBytes: 1 << 20 });
    const kept: Pointer[] = [];
    expect(c.kernels[0].slabs.allocBulk(c.cache, Gfp.NOWAIT, 128, kept)).toBe(false);
    expect(kept).toEqual([]);
    expect(c.kernels[0].slabs.allocBulk(c.cache, Gfp.NOWAIT, 3, kept)).toBe(true);
    c.kernels[0].slabs.freeBulk(c.cache, kept);
    expect(c.count().active).toBe(0);
    c.check();
  });
});

test("an object of another cache stops the machine", () => {
  const c = cacheOn(1);
  const [{ slabs }] = c.kernels;
  const other = slabs.create({ ...SMALL, name: "other", flags: SlabFlag.NO_MERGE });
  expect(() => slabs.free(other, c.take(0, 1)[0])).toThrow(/belongs to the one at word/);
});

test("statistics count what is in arrays as used", () => {
  const c = cacheOn(2);
  c.take(0, 1);
  const { info } = c.kernels[0].slabs.infos().at(-1)!;
  expect(info).toEqual({
    activeObjects: 16,
    objects: 64,
    activeSlabs: 1,
    slabs: 1,
    sharedAvailable: 0,
    limit: 120,
    batchCount: 60,
    shared: 8,
    objectsPerSlab: 64,
    order: 0,
  });
});
