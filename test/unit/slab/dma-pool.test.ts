/** DMA pools on one thread: where blocks lie, what they are called, what is refused. */

import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { type Pointer, physOf } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { blockOffsets, type DmaBlockAddress, DmaPool } from "../../../src/mm/slab/dma-pool.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

function machine(memory = "16MiB"): Kernels & { kernel: Kernel } {
  const all = kernelsOf({ cpus: 1, memory });
  return { ...all, kernel: all.kernels[0] };
}

const take = ({ dmaPools }: Kernel, pool: Pointer, gfp: number = Gfp.KERNEL): DmaBlockAddress => {
  const block = dmaPools.alloc(pool, gfp);
  if (block === null) throw new Error("no block");
  return block;
};

test.each<[size: number, allocation: number, boundary: number, offsets: readonly number[]]>([
  [1024, 4096, 4096, [0, 1024, 2048, 3072]],
  [1536, 4096, 4096, [0, 1536]],
  [1536, 4096, 2048, [0, 2048]],
  [700, 4096, 1024, [0, 1024, 2048, 3072]],
  [5000, 5000, 5000, [0]],
])("blocks of %i bytes in %i, boundary %i", (size, allocation, boundary, offsets) => {
  expect(blockOffsets(size, allocation, boundary)).toEqual(offsets);
});

test("blocks never cross a boundary, whatever the sizes", () => {
  for (let size = 16; size <= 4096; size += 8) {
    for (let boundary = 4096; boundary >= size; boundary /= 2) {
      const offsets = blockOffsets(size, 4096, boundary);
      const crossing = offsets.filter(
        (at) => Math.floor(at / boundary) !== Math.floor((at + size - 1) / boundary),
      );
      expect(crossing).toEqual([]);
      expect(offsets.length).toBe(Math.floor(boundary / size) * (4096 / boundary));
    }
  }
});

test("a block's DMA address is its physical one; free blocks are used again, last first", () => {
  const { kernel, check } = machine();
  const { dmaPools, memory } = kernel;
  const pool = dmaPools.create({ name: "qtd", bytes: 96, alignBytes: 32, boundaryBytes: 4096 });
  const blocks = Array.from({ length: 50 }, () => take(kernel, pool));
  for (const { at, dma } of blocks) {
    expect(dma).toBe(physOf(at));
    expect(dma % 32).toBe(0);
  }
  expect(new Set(blocks.map(({ at }) => at)).size).toBe(50);
  // 42 blocks of 96 bytes in a page.
  expect([memory.read(pool + DmaPool.nrPages), memory.read(pool + DmaPool.nrBlocks)]).toEqual([2, 84]);
  expect(dmaPools.check(pool)).toBe(50);
  dmaPools.free(pool, blocks[7]);
  dmaPools.free(pool, blocks[3]);
  expect(take(kernel, pool)).toEqual(blocks[3]);
  expect(take(kernel, pool)).toEqual(blocks[7]);
  memory.fill(blocks[3].at, 24, -1);
  dmaPools.free(pool, blocks[3]);
  const { at } = take(kernel, pool, Gfp.KERNEL | GfpFlag.ZERO);
  expect(Array.from({ length: 24 }, (_, i) => memory.read(at + i))).toEqual(new Array<number>(24).fill(0));
  for (const block of blocks) dmaPools.free(pool, block);
  dmaPools.destroy(pool);
  check();
});

test("small blocks hold their link; large ones have pages of their own", () => {
  const { kernel, check } = machine();
  const { dmaPools, memory, heap } = kernel;
  heap.start();
  const free = check();
  const small = dmaPools.create({ name: "small", bytes: 1 });
  expect(memory.read(small + DmaPool.size)).toBe(16);
  const large = dmaPools.create({ name: "large", bytes: 10_000 });
  const block = take(kernel, large);
  expect(memory.read(large + DmaPool.allocation)).toBe(10_000);
  dmaPools.free(large, block);
  dmaPools.destroy(small);
  dmaPools.destroy(large);
  expect(check()).toBeGreaterThan(free - 16);
});

test("a pool with blocks in use says so and keeps its pages", () => {
  const { kernel } = machine();
  const { dmaPools } = kernel;
  const pool = dmaPools.create({ name: "busy", bytes: 64 });
  take(kernel, pool);
  kernel.takeLog();
  dmaPools.destroy(pool);
  expect(kernel.takeLog()).toEqual([`dma_pool_destroy: pool at word ${pool} is busy: 1 blocks are in use`]);
});

test("blocks are where the device can reach them", () => {
  const { kernel } = machine("64MiB");
  for (const maskBits of [24, 32, 64]) {
    const pool = kernel.dmaPools.create({ name: "device", bytes: 64, maskBits });
    expect(take(kernel, pool).dma).toBeLessThan(2 ** maskBits);
  }
});

describe("what is refused", () => {
  const one = { name: "pool", bytes: 64 };
  test.each<[string, (kernel: Kernel) => void, RegExp]>([
    [
      "no bytes",
      ({ dmaPools }) => void dmaPools.create({ ...one, bytes: 0 }),
      /\(pool\): bytes 0: valid are 1 to/,
    ],
    ["an odd alignment", ({ dmaPools }) => void dmaPools.create({ ...one, alignBytes: 24 }), /alignBytes 24/],
    [
      "a boundary below the size",
      ({ dmaPools }) => void dmaPools.create({ ...one, boundaryBytes: 32 }),
      /boundaryBytes 32: valid are 0 and powers of two from 64 on/,
    ],
    ["a narrow device", ({ dmaPools }) => void dmaPools.create({ ...one, maskBits: 16 }), /maskBits 16/],
    [
      "another address",
      (kernel) => {
        const pool = kernel.dmaPools.create(one);
        kernel.dmaPools.free(pool, { ...take(kernel, pool), dma: 64 });
      },
      /has not the DMA address 0x40/,
    ],
    [
      "a block twice",
      (kernel) => {
        const pool = kernel.dmaPools.create(one);
        const block = take(kernel, pool);
        kernel.dmaPools.free(pool, block);
        kernel.dmaPools.free(pool, block);
      },
      /is already free/,
    ],
    [
      "another pool's block",
      (kernel) => {
        const [mine, other] = [kernel.dmaPools.create(one), kernel.dmaPools.create(one)];
        kernel.dmaPools.free(mine, take(kernel, other));
      },
      /is no block of the pool/,
    ],
  ])("%s", (_name, act, message) => {
    expect(() => act(machine().kernel)).toThrow(message);
  });
});

test.each<[string, (kernel: Kernel, pool: Pointer) => void, RegExp]>([
  [
    "a block lost",
    ({ memory }, pool) => memory.write(pool + DmaPool.nextBlock, 0),
    /^D1 .*: 0 blocks are free/,
  ],
  [
    "a block free twice",
    ({ memory }, pool) => {
      const first = memory.read(pool + DmaPool.nextBlock);
      memory.write(first, first);
    },
    /^D1 .* is free twice/,
  ],
  [
    "a free block elsewhere",
    ({ memory }, pool) => memory.write(pool + DmaPool.nextBlock, 4096),
    /^D1 .*word 4096 is none of its blocks/,
  ],
  [
    "pages miscounted",
    ({ memory }, pool) => memory.write(pool + DmaPool.nrPages, 2),
    /^D2 .*1 pages with 64 blocks, it says 2/,
  ],
])("%s is found", (_name, damage, message) => {
  const { kernel } = machine();
  const pool = kernel.dmaPools.create({ name: "pool", bytes: 64 });
  kernel.dmaPools.free(pool, take(kernel, pool));
  kernel.dmaPools.check(pool);
  damage(kernel, pool);
  expect(() => kernel.dmaPools.check(pool)).toThrow(message);
});
