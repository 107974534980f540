import { describe, expect, test } from "vitest";
import { PAGE_BYTES } from "../../../src/memory/units.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { calculateAlignment, slabLayout } from "../../../src/mm/slab/slab-layout.ts";

const { HWCACHE_ALIGN, CONSISTENCY_CHECKS, RED_ZONE, POISON, STORE_USER, KMALLOC, TYPESAFE_BY_RCU } =
  SlabFlag;
const ALL = CONSISTENCY_CHECKS | RED_ZONE | POISON | STORE_USER;

describe("alignment", () => {
  test.each([
    // flags, asked for, object, expected
    [0, 0, 8, 8],
    [0, 0, 100, 8],
    [0, 4, 100, 8],
    [0, 32, 8, 32],
    [HWCACHE_ALIGN, 0, 65, 64],
    [HWCACHE_ALIGN, 0, 33, 64],
    [HWCACHE_ALIGN, 0, 32, 32],
    [HWCACHE_ALIGN, 0, 16, 16],
    [HWCACHE_ALIGN, 0, 8, 8],
    [HWCACHE_ALIGN, 0, 1, 8],
    [HWCACHE_ALIGN, 128, 8, 128],
  ])("flags %i, align %i, object of %i bytes: %i", (flags, align, bytes, expected) => {
    expect(calculateAlignment(flags, align, bytes)).toBe(expected);
  });
});

describe("a free pointer", () => {
  test.each([
    // object, offset, size
    [8, 0, 8],
    [15, 0, 16],
    [16, 8, 16],
    [30, 8, 32],
    [192, 96, 192],
    [104, 48, 104],
  ])("of an object of %i bytes lies at its middle: %i", (objectBytes, offsetBytes, sizeBytes) => {
    expect(slabLayout({ objectBytes }, 2)).toMatchObject({ offsetBytes, sizeBytes });
  });

  test("lies behind the object when that has a constructor", () => {
    const layout = slabLayout({ objectBytes: 60, hasConstructor: true }, 2);
    expect(layout).toMatchObject({ inuseBytes: 64, offsetBytes: 64, sizeBytes: 72 });
    const aligned = slabLayout({ objectBytes: 64, hasConstructor: true, flags: HWCACHE_ALIGN }, 2);
    expect(aligned).toMatchObject({ offsetBytes: 64, sizeBytes: 128 });
  });
});

describe("partial lists", () => {
  test.each([
    // object, node's minimum, objects on a CPU's list, slabs on it (2 CPUs)
    [8, 5, 120, 1],
    [192, 5, 120, 12],
    [256, 5, 52, 7],
    [1024, 5, 24, 3],
    [4096, 6, 6, 2],
    [8192, 6, 6, 3],
    [1 << 20, 10, 6, 12],
  ])("of %i bytes: node keeps %i, CPU %i objects in %i slabs", (bytes, minPartial, cpuPartial, slabs) => {
    expect(slabLayout({ objectBytes: bytes }, 2)).toMatchObject({
      minPartial,
      cpuPartial,
      cpuPartialSlabs: slabs,
    });
  });
});

describe("with debugging", () => {
  test.each<[string, number, number, number, Partial<Record<string, number>>]>([
    // A kernel's report of slub_debug=FZ says 46 objects of kmalloc-64 a page: 88 bytes each.
    [
      "FZ",
      CONSISTENCY_CHECKS | RED_ZONE,
      64,
      0,
      { inuseBytes: 72, offsetBytes: 32, sizeBytes: 88, objects: 46 },
    ],
    ["F", CONSISTENCY_CHECKS, 64, 0, { inuseBytes: 64, offsetBytes: 32, sizeBytes: 64, redLeftBytes: 0 }],
    // There is room for a red zone already.
    ["Z", RED_ZONE, 30, 0, { inuseBytes: 32, offsetBytes: 8, sizeBytes: 48, redLeftBytes: 8 }],
    ["Z", RED_ZONE, 6, 0, { inuseBytes: 8, offsetBytes: 8, sizeBytes: 32 }],
    ["P", POISON, 64, 0, { inuseBytes: 64, offsetBytes: 64, sizeBytes: 72 }],
    ["U", STORE_USER, 64, 0, { inuseBytes: 64, offsetBytes: 32, sizeBytes: 128 }],
    ["ZU of kmalloc", RED_ZONE | STORE_USER | KMALLOC, 64, 0, { offsetBytes: 72, sizeBytes: 168 }],
    ["FZPU", ALL, 64, 0, { inuseBytes: 72, offsetBytes: 72, sizeBytes: 160, redLeftBytes: 8 }],
    ["FZPU of kmalloc", ALL | KMALLOC, 64, 64, { offsetBytes: 72, sizeBytes: 256, redLeftBytes: 64 }],
    ["FZPU of kmalloc", ALL | KMALLOC, 8, 8, { inuseBytes: 16, offsetBytes: 16, sizeBytes: 112 }],
    ["FZPU, aligned", ALL | HWCACHE_ALIGN, 200, 0, { inuseBytes: 208, offsetBytes: 208, sizeBytes: 384 }],
    ["typesafe", TYPESAFE_BY_RCU, 64, 0, { inuseBytes: 64, offsetBytes: 64, sizeBytes: 72 }],
  ])("%s (flags %i), %i bytes aligned to %i", (_name, flags, objectBytes, alignBytes, expected) => {
    expect(slabLayout({ objectBytes, alignBytes, flags }, 2)).toMatchObject(expected);
  });

  test("no CPU keeps partial slabs", () => {
    expect(slabLayout({ objectBytes: 64, flags: CONSISTENCY_CHECKS }, 2)).toMatchObject({
      cpuPartial: 0,
      cpuPartialSlabs: 0,
    });
  });
});

test("when memory is short a slab is as small as one object allows", () => {
  expect(slabLayout({ objectBytes: 192 }, 64)).toMatchObject({ order: 1, minOrder: 0, minObjects: 21 });
  expect(slabLayout({ objectBytes: 5888 }, 64)).toMatchObject({ order: 3, minOrder: 1, minObjects: 1 });
});

test("for every size and number of CPUs objects fit, lie aligned, and have room for their free pointer", () => {
  for (const cpus of [1, 2, 3, 4, 8, 16, 64, 256]) {
    for (let bytes = 1; bytes <= 40_000; bytes += 1 + (bytes >> 4)) {
      for (const hasConstructor of [false, true]) {
        const layout = slabLayout({ objectBytes: bytes, hasConstructor, flags: HWCACHE_ALIGN }, cpus);
        expect(layout.objects).toBeGreaterThan(0);
        expect(layout.objects * layout.sizeBytes).toBeLessThanOrEqual(PAGE_BYTES << layout.order);
        expect(layout.minOrder).toBeLessThanOrEqual(layout.order);
        expect(layout.sizeBytes % layout.alignBytes).toBe(0);
        expect(layout.offsetBytes + 8).toBeLessThanOrEqual(layout.sizeBytes);
        expect(layout.offsetBytes % 8).toBe(0);
      }
    }
  }
});
