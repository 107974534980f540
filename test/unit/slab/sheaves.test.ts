import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KmemCache, KmemCacheNode } from "../../../src/mm/slab/kmem-cache.ts";
import { SheafAllocator } from "../../../src/mm/slab/sheaves/sheaf-allocator.ts";
import { Barn, CpuSheaves, Sheaf } from "../../../src/mm/slab/sheaves/structures.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { kernelsOf } from "../../support/kernels.ts";

const CAPACITY = 4;
const OPTIONS = { name: "sheafy", objectBytes: 64, sheafCapacity: CAPACITY };

function sceneOf(cpus = 1, nodes = 1, options: Parameters<Kernel["slabs"]["create"]>[0] = OPTIONS) {
  const { kernels } = kernelsOf({ cpus, nodes, memory: nodes > 1 ? "128MiB" : "32MiB", slab: "sheaves" });
  const [{ slabs, memory, perCpu }] = kernels;
  const cache = slabs.create(options);
  const { allocator } = slabs;
  if (!(allocator instanceof SheafAllocator)) throw new Error("no sheaves");
  const { sheaves } = allocator;
  const own = (cpu: number): Pointer => perCpu.of(memory.read(cache + KmemCache.cpuSheaves), cpu);
  const sizeIn = (at: Pointer): number => {
    const sheaf = memory.read(at);
    return sheaf === 0 ? -1 : memory.read(sheaf + Sheaf.size);
  };
  const barn = (nid = 0): Pointer =>
    memory.read(memory.read(cache + KmemCache.nodes + nid) + KmemCacheNode.barn);
  return {
    kernels,
    slabs,
    memory,
    cache,
    sheaves,
    own,
    barn,
    take: (count: number, cpu = 0): Pointer[] =>
      Array.from({ length: count }, () => kernels[cpu].slabs.alloc(cache, Gfp.KERNEL)),
    give: (objects: readonly Pointer[], cpu = 0): void => {
      for (const object of objects) kernels[cpu].slabs.free(cache, object);
    },
    /** Objects in the main and the spare sheaf, -1 none; full and empty sheaves of the barn. */
    state: (cpu = 0, nid = 0): number[] => [
      sizeIn(own(cpu) + CpuSheaves.main),
      sizeIn(own(cpu) + CpuSheaves.spare),
      memory.read(barn(nid) + Barn.nrFull),
      memory.read(barn(nid) + Barn.nrEmpty),
    ],
    active: (): number => checkSlabs(slabs).find((count) => count.cache === cache)?.active ?? -1,
  };
}

describe("a CPU's sheaves", () => {
  test("are filled from the slabs when they are empty, the spare is next", () => {
    const scene = sceneOf();
    expect(scene.state()).toEqual([0, -1, 0, 0]);
    const [first] = scene.take(1);
    expect(scene.state()).toEqual([CAPACITY - 1, 0, 0, 0]);
    expect(scene.active()).toBe(1);
    const rest = scene.take(CAPACITY);
    expect(scene.state()).toEqual([CAPACITY - 1, 0, 0, 0]);
    scene.give([first, ...rest.slice(0, CAPACITY - 1)]);
    expect(scene.state()).toEqual([CAPACITY - 1, CAPACITY, 0, 0]);
    expect(scene.active()).toBe(1);
  });

  test("go to the barn when they are full, and come back; the last freed is the first taken", () => {
    const scene = sceneOf();
    const objects = scene.take(5 * CAPACITY);
    scene.give(objects);
    expect(scene.state()).toEqual([CAPACITY, CAPACITY, 3, 0]);
    expect(scene.take(1)).toEqual(objects.slice(-1));
    scene.take(3 * CAPACITY);
    expect(scene.state()).toEqual([CAPACITY - 1, 0, 1, 2]);
    expect(scene.active()).toBe(3 * CAPACITY + 1);
  });

  test("give objects back to their slabs when the barn has enough", () => {
    const scene = sceneOf();
    scene.give(scene.take(16 * CAPACITY));
    expect(scene.state()).toEqual([CAPACITY, CAPACITY, 10, 0]);
    expect(scene.active()).toBe(0);
  });

  test("do not take objects of another node, nor give any", () => {
    const scene = sceneOf(2, 2);
    const theirs = scene.take(CAPACITY, 1);
    scene.give(theirs, 0);
    expect(scene.state(0)).toEqual([0, -1, 0, 0]);
    const object = scene.kernels[0].slabs.allocNode(scene.cache, Gfp.KERNEL, 1);
    expect(scene.state(0)).toEqual([0, -1, 0, 0]);
    scene.give([object], 1);
    expect(scene.active()).toBe(0);
  });

  test("are flushed by a shrink and by a CPU that leaves; destroy gives everything back", () => {
    const scene = sceneOf(2);
    const objects = scene.take(6 * CAPACITY);
    scene.give(objects.slice(2));
    scene.kernels[0].slabs.leave();
    expect(scene.state()).toEqual([0, 0, 4, 0]);
    expect(scene.slabs.shrink(scene.cache)).toBe(false);
    expect(scene.state()).toEqual([0, 0, 0, 0]);
    scene.give(objects.slice(0, 2));
    const sheafCount = (): number =>
      checkSlabs(scene.slabs).find(({ name }) => name === "slab_sheaf")?.active ?? -1;
    expect(scene.slabs.destroy(scene.cache)).toBe(true);
    expect(sheafCount()).toBe(0);
  });
});

describe("a prefilled sheaf", () => {
  test("has what was asked for, can be filled again, and goes back", () => {
    const { sheaves, cache, memory, state, active, slabs } = sceneOf();
    const sheaf = sheaves.prefill(cache, Gfp.KERNEL, CAPACITY);
    const objects = Array.from({ length: CAPACITY }, () => sheaves.takeFrom(cache, GfpFlag.ZERO, sheaf));
    expect(new Set(objects).size).toBe(CAPACITY);
    expect(memory.read(objects[0] + 3)).toBe(0);
    expect(sheaves.takeFrom(cache, 0, sheaf)).toBe(0);
    expect(sheaves.refill(cache, Gfp.KERNEL, sheaf, 2)).toBe(true);
    for (const object of objects) slabs.free(cache, object);
    sheaves.giveBack(cache, Gfp.KERNEL, sheaf);
    expect(state()[0]).toBe(CAPACITY);
    expect(active()).toBe(0);
  });

  test("may be larger than the cache's; then it is nobody else's", () => {
    const { sheaves, cache, active, slabs } = sceneOf();
    const sheaf = sheaves.prefill(cache, Gfp.KERNEL, 40);
    const object = sheaves.takeFrom(cache, 0, sheaf);
    expect(() => sheaves.refill(cache, Gfp.KERNEL, sheaf, 41)).toThrow(
      /kmem_cache_refill_sheaf: 41 objects: the sheaf at word \d+ holds 40/,
    );
    sheaves.giveBack(cache, Gfp.KERNEL, sheaf);
    slabs.free(cache, object);
    expect(active()).toBe(0);
    expect(() => sheaves.prefill(cache, Gfp.KERNEL, 253)).toThrow("valid are 1 to 252");
  });
});

test("who asks for none, or is debugged, has none; too large ones are refused", () => {
  const { slabs, memory } = sceneOf();
  const plain = slabs.create({ name: "plain", objectBytes: 64, sheafCapacity: 0 });
  const poisoned = slabs.create({ name: "poisoned", objectBytes: 64, flags: SlabFlag.POISON });
  for (const cache of [plain, poisoned]) {
    expect(memory.read(cache + KmemCache.cpuSheaves)).toBe(0);
    const object = slabs.alloc(cache, Gfp.KERNEL);
    slabs.free(cache, object);
  }
  expect(() => slabs.create({ ...OPTIONS, name: "wide", sheafCapacity: 253 })).toThrow(
    "kmem_cache_create(wide): sheafCapacity 253: valid are 0 to 252",
  );
});

describe("the check finds", () => {
  test("a count of the barn that is not its list's", () => {
    const { memory, barn, slabs } = sceneOf();
    memory.write(barn() + Barn.nrFull, 1);
    expect(() => checkSlabs(slabs)).toThrow("B1 cache sheafy node 0 full: 0 sheaves, it says 1, at most 10");
  });

  test("a full sheaf that is not full, one in two places, and an object in two", () => {
    const scene = sceneOf();
    scene.give(scene.take(5 * CAPACITY));
    const { memory, barn, own, slabs } = scene;
    const full = memory.read(barn() + Barn.full);
    memory.write(full + Sheaf.size, CAPACITY - 1);
    expect(() => checkSlabs(slabs)).toThrow(/B2 cache sheafy node 0 full: .* has 3 objects, not 4/);
    memory.write(full + Sheaf.size, CAPACITY);
    const object = memory.read(full + Sheaf.objects);
    memory.write(full + Sheaf.objects, memory.read(full + Sheaf.objects + 1));
    expect(() => checkSlabs(slabs)).toThrow(/U2 cache sheafy node 0 full: .* is free twice/);
    memory.write(full + Sheaf.objects, object);
    memory.write(own(0) + CpuSheaves.spare, full);
    expect(() => checkSlabs(slabs)).toThrow(/B3 cache sheafy node 0 full: .* is elsewhere, too/);
  });

  test("a sheaf that is lost", () => {
    const { memory, own, slabs, take } = sceneOf();
    take(1);
    memory.write(own(0) + CpuSheaves.spare, 0);
    expect(() => checkSlabs(slabs)).toThrow(/B3 \d+ sheaves and barns are in use; caches have \d+/);
  });
});
