/** What every allocator of objects does alike, whatever the shape. */

import { describe, expect, test } from "vitest";
import { SLABS } from "../../../src/machine/config.ts";
import { Random } from "../../../src/memory/random.ts";
import { type Pointer, WORD_BYTES } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { kernelsOf } from "../../support/kernels.ts";

describe.each(SLABS)("%s", (slab) => {
  /**
   * Goal: objects never overlap, are aligned, zeroed when asked for, and keep what is written to them; at the end all pages
   * are back.  Method: three CPUs in turn take and free at random, each object holds its own address.
   */
  test("objects of many sizes keep to themselves", () => {
    const random = new Random().seed(7);
    const machine = kernelsOf({ cpus: 3, memory: "32MiB", slab });
    const { kernels } = machine;
    const [{ slabs, memory }] = kernels;
    const shapes = [
      { objectBytes: 8 },
      { objectBytes: 20 },
      { objectBytes: 56, flags: SlabFlag.HWCACHE_ALIGN },
      { objectBytes: 100, alignBytes: 32 },
      { objectBytes: 700 },
      { objectBytes: 4096 },
      { objectBytes: 9000, flags: SlabFlag.RECLAIM_ACCOUNT },
    ];
    slabs.destroy(slabs.create({ name: "first", objectBytes: 8 }));
    const caches = shapes.map((shape, i) => slabs.create({ ...shape, name: `c${i}` }));
    const held: { cache: number; object: Pointer }[] = [];
    const wordsOf = (cache: number): number => shapes[cache].objectBytes >> 2;
    const isWhole = (cache: number, object: Pointer): boolean =>
      Array.from({ length: wordsOf(cache) }, (_, i) => memory.read(object + i)).every((v) => v === object);
    for (let step = 0; step < 3000; step++) {
      const cpu = kernels[random.below(3)];
      if (random.below(5) < 3 && held.length < 300) {
        const cache = random.below(caches.length);
        const zero = random.below(3) === 0 ? GfpFlag.ZERO : 0;
        const object = cpu.slabs.alloc(caches[cache], Gfp.KERNEL | zero);
        expect((object * WORD_BYTES) % (shapes[cache].alignBytes ?? 8)).toBe(0);
        if (zero !== 0)
          for (let i = 0; i < wordsOf(cache); i++)
            if (memory.read(object + i) !== 0) expect.fail("not zeroed");
        memory.fill(object, wordsOf(cache), object);
        held.push({ cache, object });
      } else if (held.length > 0) {
        const { cache, object } = held.splice(random.below(held.length), 1)[0];
        if (!isWhole(cache, object))
          expect.fail(`step ${step}: word ${object} of cache ${cache} was written to`);
        cpu.slabs.free(caches[cache], object);
      }
      if (step % 500 === 0) machine.check();
    }
    for (const { cache, object } of held) {
      expect(isWhole(cache, object)).toBe(true);
      slabs.free(caches[cache], object);
    }
    for (const cache of caches) expect(slabs.destroy(cache)).toBe(true);
    const free = machine.check();
    slabs.destroy(slabs.create({ name: "last", objectBytes: 700 }));
    expect(machine.check()).toBe(free);
  });

  test("bulk gives as many different objects, and takes them back in any order", () => {
    const machine = kernelsOf({ cpus: 2, slab });
    const [{ slabs }, other] = machine.kernels;
    const cache = slabs.create({ name: "bulk", objectBytes: 96 });
    const objects: Pointer[] = [1];
    expect(slabs.allocBulk(cache, Gfp.KERNEL, 500, objects)).toBe(true);
    expect(new Set(objects).size).toBe(501);
    other.slabs.freeBulk(cache, objects.slice(1).toReversed());
    machine.check();
    expect(slabs.destroy(cache)).toBe(true);
    machine.check();
  });

  test("CPUs of a node without memory have objects of others, and free them", () => {
    const machine = kernelsOf({
      cpus: 4,
      slab,
      memory: undefined,
      nodes: 3,
      cpuNodes: [0, 1, 2, 1],
      memoryMap: [
        { startBytes: 0, sizeBytes: 16 << 20, node: 0 },
        { startBytes: 16 << 20, sizeBytes: 16 << 20, node: 2 },
      ],
    });
    const { kernels } = machine;
    const cache = kernels[1].slabs.create({ name: "some", objectBytes: 64 });
    const taken = kernels.map(({ slabs }) =>
      Array.from({ length: 200 }, () => slabs.alloc(cache, Gfp.KERNEL)),
    );
    const absent = kernels[0].slabs.allocNode(cache, Gfp.KERNEL, 1);
    expect(new Set([...taken.flat(), absent, 0]).size).toBe(802);
    kernels[2].slabs.free(cache, absent);
    for (const [cpu, { slabs }] of kernels.entries())
      for (const object of taken[(cpu + 1) % 4]) slabs.free(cache, object);
    machine.check();
    for (const kernel of kernels) kernel.takeDown();
    machine.check();
    for (const kernel of kernels) kernel.bringUp(kernel.cpu.id);
    expect(kernels[3].slabs.destroy(cache)).toBe(true);
    machine.check();
  });
});
