/** Caches that share their slabs, and those that do not. */

import { describe, expect, test } from "vitest";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import type { CacheOptions } from "../../../src/mm/slab/cache-record.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KmemCache, SlabGlobals } from "../../../src/mm/slab/kmem-cache.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { kernelsOf } from "../../support/kernels.ts";

const FIRST: CacheOptions = { name: "first", objectBytes: 192 };

describe("a second cache is the first", () => {
  test.each<[string, Partial<CacheOptions>, Partial<CacheOptions>]>([
    ["of the same size", {}, {}],
    ["a little smaller", {}, { objectBytes: 185 }],
    ["aligned to lines, as the first's objects are anyway", {}, { flags: SlabFlag.HWCACHE_ALIGN }],
    ["with flags that do not matter", {}, { flags: SlabFlag.PANIC | SlabFlag.CONSISTENCY_CHECKS }],
    ["of the same pages", { flags: SlabFlag.ACCOUNT }, { flags: SlabFlag.ACCOUNT }],
  ])("%s", (_what, one, two) => {
    const [{ slabs, memory }] = kernelsOf({ cpus: 1 }).kernels;
    const first = slabs.create({ ...FIRST, ...one });
    expect(slabs.create({ ...FIRST, name: "second", ...two })).toBe(first);
    expect(memory.read(first + KmemCache.refcount)).toBe(2);
    expect(slabs.merge.namesOf(first)).toEqual(["second"]);
  });
});

describe("a second cache is one of its own", () => {
  const construct = 1;
  test.each<[string, Partial<CacheOptions>, Partial<CacheOptions>]>([
    ["a pointer smaller", {}, { objectBytes: 184 }],
    ["larger", {}, { objectBytes: 193 }],
    ["aligned otherwise", {}, { alignBytes: 128 }],
    ["of other pages", {}, { flags: SlabFlag.RECLAIM_ACCOUNT }],
    ["that wants it", {}, { flags: SlabFlag.NO_MERGE }],
    ["beside one that wanted it", { flags: SlabFlag.NO_MERGE }, {}],
    ["with red zones", {}, { flags: SlabFlag.RED_ZONE }],
    ["beside one whose pages wait", { flags: SlabFlag.TYPESAFE_BY_RCU }, {}],
    ["with a constructor", {}, { construct }],
    ["beside one with a constructor", { construct }, {}],
    ["with free pointers of its own kind", {}, { hardened: true }],
    ["beside one with such", { hardened: true }, {}],
  ])("%s", (_what, one, two) => {
    const [{ slabs }] = kernelsOf({ cpus: 1 }).kernels;
    const first = slabs.create({ ...FIRST, ...one });
    const second = slabs.create({ ...FIRST, name: "second", ...two });
    expect(second).not.toBe(first);
    expect(slabs.merge.namesOf(first)).toEqual([]);
  });

  test("with slabMerge off, with debugging of all caches, and beside the allocator's own", () => {
    for (const config of [{ slabMerge: false }, { slabDebug: "Z" }]) {
      const [{ slabs }] = kernelsOf({ cpus: 1, ...config }).kernels;
      const [first, second] = ["a", "b"].map((name) => slabs.create({ ...FIRST, name }));
      expect(second).not.toBe(first);
    }
    const [{ slabs, memory }] = kernelsOf({ cpus: 1 }).kernels;
    slabs.create(FIRST);
    const [own] = slabs.all();
    const objectBytes = memory.read(own + KmemCache.size);
    expect(slabs.create({ name: "like", objectBytes, flags: SlabFlag.HWCACHE_ALIGN })).not.toBe(own);
  });
});

describe("a cache under several names", () => {
  test("ends with the last of them, and its names with it", () => {
    const machine = kernelsOf({ cpus: 2 });
    const [{ slabs, memory }, other] = machine.kernels;
    const cache = slabs.create(FIRST);
    for (const name of ["second", "third", "second"]) slabs.create({ ...FIRST, name });
    expect(slabs.merge.namesOf(cache)).toEqual(["second", "third"]);
    const object = slabs.alloc(cache, Gfp.KERNEL);
    machine.check();
    for (let i = 0; i < 3; i++) expect(other.slabs.destroy(cache)).toBe(true);
    expect(memory.read(cache + KmemCache.refcount)).toBe(1);
    slabs.free(cache, object);
    machine.check();
    expect(slabs.destroy(cache)).toBe(true);
    expect(checkSlabs(slabs).map(({ name }) => name)).toEqual(["kmem_cache", "kmem_cache_node"]);
    machine.check();
  });

  test("stays when the last one goes while objects are out", () => {
    const machine = kernelsOf({ cpus: 1 });
    const [{ slabs }] = machine.kernels;
    const cache = slabs.create(FIRST);
    const object = slabs.alloc(cache, Gfp.KERNEL);
    expect(slabs.destroy(cache)).toBe(false);
    machine.check();
    slabs.free(cache, object);
    expect(slabs.destroy(cache)).toBe(true);
    machine.check();
  });

  test("zeroes and counts the largest of its objects", () => {
    const [{ slabs, memory }] = kernelsOf({ cpus: 1 }).kernels;
    const cache = slabs.create({ name: "first", objectBytes: 186 });
    const object = slabs.alloc(cache, Gfp.KERNEL);
    memory.fill(object, 48, -1);
    slabs.free(cache, object);
    slabs.create({ name: "second", objectBytes: 192 });
    expect([KmemCache.objectSize, KmemCache.inuse].map((field) => memory.read(cache + field))).toEqual([
      192, 192,
    ]);
    expect(slabs.alloc(cache, Gfp.KERNEL | GfpFlag.ZERO)).toBe(object);
    expect(memory.read(object + 47)).toBe(0);
  });

  test("that is lost, or counted wrong, is found", () => {
    const [{ slabs, memory }] = kernelsOf({ cpus: 1 }).kernels;
    const cache = slabs.create(FIRST);
    slabs.create({ ...FIRST, name: "second" });
    memory.write(cache + KmemCache.refcount, 0);
    expect(() => checkSlabs(slabs)).toThrow("M2 cache first: refcount is 0");
    memory.write(cache + KmemCache.refcount, 2);
    const record = memory.read(slabs.globals + SlabGlobals.aliases);
    memory.write(record + 2, 8);
    expect(() => checkSlabs(slabs)).toThrow("M1 the name second is of word 8, which is no cache");
  });
});

test("SLAB's caches share, too", () => {
  const machine = kernelsOf({ cpus: 2, slab: "slab" });
  const [{ slabs }] = machine.kernels;
  const cache = slabs.create(FIRST);
  expect(slabs.create({ ...FIRST, name: "second" })).toBe(cache);
  machine.check();
  expect([slabs.destroy(cache), slabs.destroy(cache)]).toEqual([true, true]);
  machine.check();
});
