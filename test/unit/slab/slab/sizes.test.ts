import { describe, expect, test } from "vitest";
import { arraySizes, slabSizes } from "../../../../src/mm/slab/slab/sizes.ts";
import { Placement } from "../../../../src/mm/slab/slab/structures.ts";
import { SlabFlag } from "../../../../src/mm/slab/slab-flags.ts";

const all = { maxOrder: 1, hasClass: () => true };
const { IN_OBJECT, OFF_SLAB } = Placement;

describe("where the free indexes of a slab are", () => {
  // Worked out by hand from the rules: bytes, constructor, placement, order, objects, colours.
  test.each<[number, boolean, number, number, number, number]>([
    // 64 indexes fit into an object of 64 bytes; 73 do not into one of 56, and go behind the objects.
    [64, false, IN_OBJECT, 0, 64, 0],
    [56, false, 0, 0, 71, 0],
    [200, false, IN_OBJECT, 0, 20, 1],
    [1000, false, IN_OBJECT, 0, 4, 1],
    // Too much is left of one page, and a machine may use two.
    [1500, false, IN_OBJECT, 1, 5, 10],
    // What a constructor has made must stay.  Four objects fill the page: no room behind them.
    [1024, true, OFF_SLAB, 0, 4, 0],
    [1000, true, 0, 0, 4, 1],
    [64, true, 0, 0, 63, 0],
    [8192, false, IN_OBJECT, 1, 1, 0],
    [8192, true, OFF_SLAB, 1, 1, 0],
  ])("%i bytes, constructor %s", (objectBytes, hasConstructor, placement, order, objects, colour) => {
    expect(slabSizes({ objectBytes, hasConstructor }, all)).toMatchObject({
      placement,
      order,
      objects,
      colour,
      colourOffBytes: 64,
    });
  });

  test("an object has 16 bytes at least, so that an index of a byte tells all apart", () => {
    expect(slabSizes({ objectBytes: 8 }, all)).toMatchObject({ sizeBytes: 16, objects: 240, placement: 0 });
  });

  test("small machines and reclaimable objects take one page where they can", () => {
    expect(slabSizes({ objectBytes: 1500 }, { ...all, maxOrder: 0 })).toMatchObject({ order: 0, objects: 2 });
    const flags = SlabFlag.RECLAIM_ACCOUNT;
    expect(slabSizes({ objectBytes: 1500, flags }, all)).toMatchObject({ order: 0, objects: 2 });
  });

  test("not off the slab while there is no class for them", () => {
    const early = { ...all, hasClass: () => false };
    expect(slabSizes({ objectBytes: 1024, hasConstructor: true }, early)).toMatchObject({
      placement: 0,
      order: 1,
      objects: 7,
    });
  });

  test("colours are as far apart as the alignment, a line at least", () => {
    expect(slabSizes({ objectBytes: 1000, alignBytes: 256 }, all)).toMatchObject({ colourOffBytes: 256 });
  });

  test("an object above the largest block has no slab", () => {
    expect(slabSizes({ objectBytes: (4096 << 10) + 1 }, all)).toBe(null);
  });
});

test.each([
  [256, 120, 60, 8],
  [257, 54, 27, 8],
  [1024, 54, 27, 8],
  [1025, 24, 12, 8],
  [4096, 24, 12, 8],
  [4097, 8, 4, 0],
  [131_072, 8, 4, 0],
  [131_073, 1, 1, 0],
])("arrays for objects of %i bytes", (sizeBytes, limit, batchCount, shared) => {
  expect(arraySizes(sizeBytes, 2)).toEqual({ limit, batchCount, shared });
  expect(arraySizes(sizeBytes, 1).shared).toBe(0);
});
