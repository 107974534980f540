import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { FRAME_WORDS, type Pointer } from "../../../src/memory/units.ts";
import { NodeStat } from "../../../src/mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { Page } from "../../../src/mm/pages/page.ts";
import { SlabPage } from "../../../src/mm/pages/page-overlays.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { type CacheRef, KmemCache, KmemCacheCpu, KmemCacheNode } from "../../../src/mm/slab/kmem-cache.ts";
import type { CacheCount } from "../../../src/mm/slab/object-allocator.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { headOf, inuseOf, isFrozen } from "../../../src/mm/slab/slab-word.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

interface Cache extends Kernels {
  readonly cache: CacheRef;
  count(): CacheCount;
  take(cpu: number, objects: number): Pointer[];
  give(cpu: number, objects: readonly Pointer[]): void;
  /** Of node 0. */
  nrPartial(): number;
  cpuPart(cpu: number): { slab: Pointer; partial: Pointer; tid: number };
  word(slab: Pointer): number;
}

/** 64 objects of 64 bytes in a slab of one page. */
const SMALL = { name: "small", objectBytes: 64 };
const IN_SLAB = 64;

function cacheOn(cpus: number, options: Parameters<Kernel["slabs"]["create"]>[0] = SMALL, nodes = 1): Cache {
  const machine = kernelsOf({ cpus, nodes, memory: nodes > 1 ? "128MiB" : "16MiB" });
  const { kernels } = machine;
  const [{ slabs, perCpu, memory }] = kernels;
  const cache = slabs.create(options);
  const own = (cpu: number): Pointer => perCpu.of(memory.read(cache + KmemCache.cpuSlab), cpu);
  const node = memory.read(cache + KmemCache.nodes);
  return {
    ...machine,
    cache,
    count: () => checkSlabs(slabs).find((entry) => entry.cache === cache)!,
    take: (cpu, objects) =>
      Array.from({ length: objects }, () => kernels[cpu].slabs.alloc(cache, Gfp.KERNEL)),
    give: (cpu, objects) => {
      for (const object of objects) kernels[cpu].slabs.free(cache, object);
    },
    nrPartial: () => memory.read(node + KmemCacheNode.nrPartial),
    cpuPart: (cpu) => ({
      slab: memory.read(own(cpu) + KmemCacheCpu.slab),
      partial: memory.read(own(cpu) + KmemCacheCpu.partial),
      tid: memory.read(own(cpu) + KmemCacheCpu.tid),
    }),
    word: (slab) => memory.load(slab + SlabPage.counters),
  };
}

describe("the first caches", () => {
  test("are objects of themselves, one page each", () => {
    const machine = kernelsOf({ cpus: 2 });
    const [kernel] = machine.kernels;
    const before = machine.check();
    expect(checkSlabs(kernel.slabs)).toEqual([]);
    const cache = kernel.slabs.create(SMALL);
    const counts = checkSlabs(kernel.slabs);
    expect(counts.map(({ name, slabs, active }) => ({ name, slabs, active }))).toEqual([
      { name: "kmem_cache", slabs: 1, active: 3 },
      { name: "kmem_cache_node", slabs: 1, active: 3 },
      { name: "small", slabs: 0, active: 0 },
    ]);
    expect(machine.check()).toBe(before - 2);
    expect(kernel.slabs.destroy(cache)).toBe(true);
    expect(checkSlabs(kernel.slabs).map(({ active }) => active)).toEqual([2, 2]);
  });

  test("on several nodes have a part for each that has memory", () => {
    const machine = kernelsOf({ cpus: 4, nodes: 2, memory: "128MiB" });
    const [{ slabs }] = machine.kernels;
    slabs.create(SMALL);
    const [, node] = checkSlabs(slabs);
    expect(node).toMatchObject({ name: "kmem_cache_node", slabs: 2, active: 6 });
    machine.check();
  });
});

describe("objects", () => {
  test("of a new slab come in order, each once, and go back last first", () => {
    const c = cacheOn(1);
    const [first, ...others] = c.take(0, IN_SLAB);
    expect(first % FRAME_WORDS).toBe(0);
    expect(others).toEqual(others.map((_, i) => first + (i + 1) * 16));
    expect(c.count()).toMatchObject({ slabs: 1, objects: IN_SLAB, active: IN_SLAB });
    c.give(0, [others[4], others[9]]);
    expect(c.take(0, 2)).toEqual([others[9], others[4]]);
    c.check();
  });

  test("each step on a CPU's own list raises its transaction id by CPUs rounded up", () => {
    const c = cacheOn(3);
    const [object] = c.take(2, 1);
    const { tid } = c.cpuPart(2);
    expect(tid % 4).toBe(2);
    c.give(2, [object]);
    expect(c.cpuPart(2).tid).toBe(tid + 4);
    c.take(2, 1);
    expect(c.cpuPart(2).tid).toBe(tid + 8);
  });

  test("are zeroed when asked, and only then lose what they held", () => {
    const c = cacheOn(1);
    const [{ memory, slabs }] = c.kernels;
    const [object] = c.take(0, 1);
    memory.fill(object, 16, 0x5a5a5a5a);
    c.give(0, [object]);
    expect(slabs.alloc(c.cache, Gfp.KERNEL)).toBe(object);
    expect(memory.read(object)).toBe(0x5a5a5a5a);
    c.give(0, [object]);
    expect(slabs.alloc(c.cache, Gfp.KERNEL | GfpFlag.ZERO)).toBe(object);
    expect(Array.from({ length: 16 }, (_, i) => memory.read(object + i))).toEqual(new Array(16).fill(0));
  });

  test("of a constructor keep what it wrote, free or not", () => {
    const machine = kernelsOf({ cpus: 1 });
    const [{ functions, memory, slabs }] = machine.kernels;
    const construct = functions.register("construct", (_cpu, object) => memory.fill(object, 16, 77));
    const cache = slabs.create({ ...SMALL, name: "made", construct });
    const object = slabs.alloc(cache, Gfp.KERNEL);
    slabs.free(cache, object);
    expect(Array.from({ length: 16 }, (_, i) => memory.read(object + i))).toEqual(new Array(16).fill(77));
    machine.check();
  });

  test("store free pointers in the clear, or mixed where hardened", () => {
    for (const hardened of [false, true]) {
      const c = cacheOn(1, { ...SMALL, hardened });
      const [{ memory, slabs }] = c.kernels;
      const [a, b] = c.take(0, 2);
      c.give(0, [a, b]);
      expect(memory.read(b + 8) === a).toBe(!hardened);
      expect(slabs.slabs.next(c.cache, b)).toBe(a);
      expect(c.take(0, 2)).toEqual([b, a]);
      c.check();
    }
  });

  test("in blocks of several pages are found from any of them", () => {
    const c = cacheOn(2, { name: "large", objectBytes: 2048 });
    const objects = c.take(0, 16);
    expect(c.count()).toMatchObject({ slabs: 1, objects: 16, active: 16 });
    c.give(0, objects.toReversed());
    expect(c.count().active).toBe(0);
    c.check();
  });

  test("that are no object, or another cache's, stop the machine", () => {
    const c = cacheOn(1);
    const [{ slabs, pages }] = c.kernels;
    const other = slabs.create({ ...SMALL, name: "other", flags: SlabFlag.NO_MERGE });
    const objects = c.take(0, IN_SLAB + 1);
    expect(() => slabs.free(other, objects[0])).toThrow(/belongs to the one at word/);
    expect(() => slabs.free(c.cache, objects[0] + 4)).toThrow(/not the start of an object/);
    const page = pages.getFreePages(Gfp.KERNEL, 0);
    expect(() => slabs.free(c.cache, page)).toThrow(/is not in a slab/);
  });
});

describe("in bulk", () => {
  test("objects are taken and given back, across slabs and CPUs, with few exchanges", () => {
    const c = cacheOn(2);
    const [{ slabs, memory }, other] = c.kernels;
    const objects: Pointer[] = [];
    expect(slabs.allocBulk(c.cache, Gfp.KERNEL | GfpFlag.ZERO, 150, objects)).toBe(true);
    expect(new Set(objects).size).toBe(150);
    expect(objects.every((object) => memory.read(object + 8) === 0)).toBe(true);
    expect(c.count()).toMatchObject({ slabs: 3, active: 150 });
    const { tid } = c.cpuPart(0);
    // Of the CPU's own slab: one exchange, on a machine whose ids go up by 2.
    slabs.freeBulk(c.cache, objects.slice(2 * IN_SLAB));
    expect(c.cpuPart(0).tid).toBe(tid + 2);
    other.slabs.freeBulk(c.cache, objects.slice(0, 2 * IN_SLAB));
    expect(c.count().active).toBe(0);
    expect(slabs.destroy(c.cache)).toBe(true);
    c.check();
  });

  test("all or none are given", () => {
    const c = cacheOn(1, { name: "huge", objectBytes: 1 << 20 });
    const kept: Pointer[] = [];
    expect(c.kernels[0].slabs.allocBulk(c.cache, Gfp.NOWAIT, 64, kept)).toBe(false);
    expect(kept).toEqual([]);
    expect(c.count().active).toBe(0);
    c.check();
  });

  test("an object of another cache stops the machine", () => {
    const c = cacheOn(1);
    const [{ slabs }] = c.kernels;
    const other = slabs.create({ ...SMALL, name: "other", flags: SlabFlag.NO_MERGE });
    expect(() => slabs.freeBulk(other, c.take(0, 2))).toThrow(/belongs to the one at word/);
  });
});

describe("a slab", () => {
  test("of a CPU is frozen and looks full to others; what they free into it is found when it is needed", () => {
    const c = cacheOn(2);
    const objects = c.take(0, 3);
    const { slab } = c.cpuPart(0);
    expect(isFrozen(c.word(slab))).toBe(true);
    expect([headOf(c.word(slab)), inuseOf(c.word(slab))]).toEqual([0, IN_SLAB]);
    c.give(1, [objects[1]]);
    expect([headOf(c.word(slab)), inuseOf(c.word(slab))]).toEqual([2, IN_SLAB - 1]);
    expect(c.cpuPart(1).partial).toBe(0);
    const rest = c.take(0, IN_SLAB - 2);
    expect(rest.at(-1)).toBe(objects[1]);
    expect(c.cpuPart(0).slab).toBe(slab);
    c.check();
  });

  test("that was full goes to the list of the CPU that frees first", () => {
    const c = cacheOn(2);
    const objects = c.take(0, IN_SLAB + 1);
    const slab = c.kernels[0].slabs.slabs.slabOf(objects[0]);
    c.give(1, [objects[0]]);
    expect(c.cpuPart(1).partial).toBe(slab);
    expect(isFrozen(c.word(slab))).toBe(false);
    c.give(0, [objects[1]]);
    expect(c.cpuPart(0).partial).toBe(0);
    expect(c.take(1, 1)).toEqual([objects[1]]);
    expect(c.cpuPart(1)).toMatchObject({ slab, partial: 0 });
    c.check();
  });

  test("a CPU's list that is full goes to the node, empty slabs beyond its minimum to the page allocator", () => {
    const c = cacheOn(1);
    const [{ memory }] = c.kernels;
    const slabsOnCpu = memory.read(c.cache + KmemCache.cpuPartialSlabs);
    const minPartial = memory.read(c.cache + KmemCache.minPartial);
    expect([slabsOnCpu, minPartial]).toEqual([4, 5]);
    const objects = c.take(0, 20 * IN_SLAB);
    const before = c.check();
    const bySlab = Array.from({ length: 20 }, (_, i) => objects.slice(i * IN_SLAB, (i + 1) * IN_SLAB));
    for (const [first] of bySlab.slice(0, 5)) c.give(0, [first]);
    expect(c.nrPartial()).toBe(4);
    for (const [, ...rest] of bySlab.slice(0, 5)) c.give(0, rest);
    expect(c.count().slabs).toBe(20);
    for (const all of bySlab.slice(5, 19)) c.give(0, all);
    // The node keeps its minimum, the CPU's list has the last three; one is full.
    expect(c.nrPartial()).toBe(minPartial);
    expect(c.count()).toMatchObject({ active: IN_SLAB, slabs: minPartial + 3 + 1 });
    expect(c.check()).toBe(before + 11);
  });

  test("with remote frees is taken from the node's list with more for the CPU's own", () => {
    const c = cacheOn(2);
    const objects = c.take(0, 12 * IN_SLAB);
    for (let i = 0; i < 12; i++) c.give(1, [objects[i * IN_SLAB]]);
    const listed = c.nrPartial();
    expect(listed).toBe(8);
    // One is in the CPU's own slab; then that is full, and the CPU's list empty.
    c.take(0, 2);
    // One to use, and half of what the list may hold, and one more.
    expect(c.nrPartial()).toBe(listed - 4);
    c.check();
  });

  test("is smaller when no block of its order is free", () => {
    const c = cacheOn(2, { name: "large", objectBytes: 2048 });
    const [{ pages }] = c.kernels;
    const held: number[] = [];
    for (let pfn = 1; pfn !== 0; ) {
      pfn = pages.allocPage(Gfp.NOWAIT | GfpFlag.MEMALLOC);
      if (pfn !== 0) held.push(pfn);
    }
    // Every other page: nothing of a higher order.
    for (const pfn of held) if (pfn % 2 === 0) pages.freePage(pfn);
    const [object] = c.take(0, 1);
    expect(object).not.toBe(0);
    expect(c.count()).toMatchObject({ slabs: 1, objects: 2, active: 1 });
    expect(c.kernels[0].memory.read(c.cpuPart(0).slab + Page.type) >> 8).toBe(0);
  });

  test("its pages are counted", () => {
    for (const flags of [0, SlabFlag.RECLAIM_ACCOUNT]) {
      const c = cacheOn(2, { name: "large", objectBytes: 2048, flags });
      const [{ pages }] = c.kernels;
      const item = flags === 0 ? NodeStat.nr_slab_unreclaimable : NodeStat.nr_slab_reclaimable;
      const node = pages.frames.nodeAt(0);
      const before = pages.vmstat.nodeStateSnapshot(node, item);
      const [object] = c.take(0, 1);
      expect(pages.vmstat.nodeStateSnapshot(node, item)).toBe(before + 8);
      c.give(0, [object]);
      c.kernels[0].slabs.shrink(c.cache);
      expect(pages.vmstat.nodeStateSnapshot(node, item)).toBe(before);
    }
  });
});

describe("on several nodes", () => {
  test("objects come from the CPU's own node, or from the one asked for", () => {
    const c = cacheOn(4, SMALL, 2);
    const { frames } = c.kernels[0].pages;
    const nodeOf = (object: Pointer): number =>
      frames.nodeOf(frames.pageOf(Math.floor(object / FRAME_WORDS)));
    const [near] = c.take(0, 1);
    const far = c.kernels[0].slabs.allocNode(c.cache, Gfp.KERNEL, 1);
    const back = c.kernels[0].slabs.allocNode(c.cache, Gfp.KERNEL, 0);
    expect([near, far, back].map(nodeOf)).toEqual([0, 1, 0]);
    // The first slab was given up and found again.
    expect(c.count()).toMatchObject({ slabs: 2, active: 3 });
    c.give(3, [near, far, back]);
    c.check();
    expect(c.kernels[2].slabs.destroy(c.cache)).toBe(true);
    c.check();
  });
});

describe("flush, shrink and destroy", () => {
  test("all CPUs give up what they have, in an interrupt", () => {
    const c = cacheOn(3);
    const objects = [0, 1, 2].flatMap((cpu) => c.take(cpu, 2));
    c.kernels[1].slabs.flushAll(c.cache);
    for (const cpu of [0, 1, 2]) expect(c.cpuPart(cpu)).toMatchObject({ slab: 0, partial: 0 });
    expect(c.nrPartial()).toBe(3);
    expect(c.count()).toMatchObject({ slabs: 3, active: 6 });
    c.give(0, objects);
    c.check();
  });

  test("shrink gives back empty slabs and puts the fullest first", () => {
    const c = cacheOn(1);
    const objects = c.take(0, 4 * IN_SLAB);
    const slabOf = c.kernels[0].slabs.slabs.slabOf(objects[0]);
    c.give(0, objects.slice(0, 20));
    c.give(0, objects.slice(IN_SLAB, IN_SLAB + 3));
    c.give(0, objects.slice(2 * IN_SLAB, 3 * IN_SLAB));
    expect(c.kernels[0].slabs.shrink(c.cache)).toBe(false);
    expect(c.count()).toMatchObject({ slabs: 3, active: 4 * IN_SLAB - 23 - IN_SLAB });
    expect(c.nrPartial()).toBe(2);
    const [next] = c.take(0, 1);
    expect(next).toBe(objects[IN_SLAB + 2]);
    expect(c.kernels[0].slabs.slabs.slabOf(next)).not.toBe(slabOf);
    c.check();
  });

  test("destroy refuses while objects are out, says so, and then gives all pages back", () => {
    const c = cacheOn(2);
    const before = c.check();
    const [{ slabs }, other] = c.kernels;
    const objects = [...c.take(0, 100), ...c.take(1, 30)];
    expect(other.slabs.destroy(c.cache)).toBe(false);
    expect(other.takeLog().join()).toBe("kmem_cache_destroy small: Slab cache still has objects");
    c.give(1, objects);
    expect(slabs.destroy(c.cache)).toBe(true);
    expect(c.check()).toBe(before);
  });

  test("a CPU that leaves gives up its slabs", () => {
    const c = cacheOn(2);
    c.take(1, 2);
    c.kernels[1].takeDown();
    expect(c.cpuPart(1)).toMatchObject({ slab: 0, partial: 0 });
    expect(c.nrPartial()).toBe(1);
    c.check();
  });

  test("a cache that cannot have memory is 0, or with PANIC a bug", () => {
    const machine = kernelsOf({ cpus: 1 });
    const [{ slabs, perCpu }] = machine.kernels;
    slabs.create(SMALL);
    while (perCpu.alloc(4096) !== 0);
    while (perCpu.alloc(8) !== 0);
    expect(slabs.create({ name: "none", objectBytes: 8 })).toBe(0);
    expect(() => slabs.create({ name: "none", objectBytes: 8, flags: SlabFlag.PANIC })).toThrow(
      "kmem_cache_create(none): no memory",
    );
  });
});

describe("a cache's options", () => {
  test.each([
    [{ name: "", objectBytes: 8 }, /name ""/],
    [{ name: "a b", objectBytes: 8 }, /name "a b"/],
    [{ name: "x".repeat(32), objectBytes: 8 }, /1 to 31/],
    [{ name: "x", objectBytes: 0 }, /objectBytes 0: valid are 1 to 4194304/],
    [{ name: "x", objectBytes: 2 ** 22 + 1 }, /objectBytes 4194305/],
    [
      { name: "x", objectBytes: 8, alignBytes: 12 },
      /alignBytes 12: valid are 0 and powers of two up to 8192/,
    ],
    [{ name: "x", objectBytes: 8, flags: 1 << 30 }, /flags 0x40000000: valid are those of 0x233ff/],
  ])("%j is refused", (options, message) => {
    const [{ slabs }] = kernelsOf({ cpus: 1 }).kernels;
    expect(() => slabs.create(options)).toThrow(message);
  });
});
