/** Memory pools on one thread: what comes from where, resizing, and the invariants broken on purpose. */

import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KMALLOC_MAX_BYTES } from "../../../src/mm/slab/kmalloc-index.ts";
import { Mempool } from "../../../src/mm/slab/mempool.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

function machine(): Kernels & { kernel: Kernel } {
  const all = kernelsOf({ cpus: 2 });
  return { ...all, kernel: all.kernels[0] };
}

/** The allocator behind a kmalloc pool has nothing more. */
const runDry = ({ memory }: Kernel, pool: Pointer): void =>
  memory.write(pool + Mempool.poolData, KMALLOC_MAX_BYTES + 1);

const BACKENDS: readonly [name: string, create: (kernel: Kernel) => Pointer][] = [
  ["kmalloc", ({ mempools }) => mempools.createKmallocPool(3, 200)],
  [
    "a cache",
    ({ mempools, slabs }) => mempools.createSlabPool(3, slabs.create({ name: "bios", objectBytes: 200 })),
  ],
  ["pages", ({ mempools }) => mempools.createPagePool(3, 1)],
];

describe.each(BACKENDS)("a pool over %s", (_name, create) => {
  test("keeps its reserve full and gives everything back", () => {
    const { kernel, check } = machine();
    const { mempools, slabs } = kernel;
    const pool = create(kernel);
    const active = (): number =>
      checkSlabs(slabs)
        .filter(({ name }) => !name.startsWith("kmem_cache"))
        .reduce((sum, cache) => sum + cache.active, 0);
    const free = check();
    const before = active();
    const elements = Array.from({ length: 8 }, () => mempools.alloc(pool, Gfp.KERNEL));
    expect(new Set(elements).size).toBe(8);
    expect(mempools.reserved(pool)).toBe(3);
    for (const element of elements) mempools.free(pool, element);
    mempools.check(pool, true);
    expect(active()).toBe(before);
    mempools.destroy(pool);
    expect(active()).toBe(0);
    expect(check()).toBeGreaterThanOrEqual(free);
  });
});

test("when the allocator has nothing the reserve gives, and is filled first", () => {
  const { kernel, check } = machine();
  const { mempools } = kernel;
  const pool = mempools.createKmallocPool(2, 64);
  const before = mempools.alloc(pool, Gfp.KERNEL);
  runDry(kernel, pool);
  const first = mempools.alloc(pool, Gfp.KERNEL);
  const second = mempools.alloc(pool, Gfp.NOWAIT);
  expect([first, second].includes(0)).toBe(false);
  expect(mempools.reserved(pool)).toBe(0);
  expect(mempools.alloc(pool, Gfp.NOWAIT)).toBe(0);
  expect(mempools.allocPreallocated(pool)).toBe(0);
  for (const element of [before, first, 0, second]) mempools.free(pool, element);
  expect(mempools.reserved(pool)).toBe(2);
  mempools.check(pool, true);
  expect(mempools.allocPreallocated(pool)).not.toBe(0);
  check();
});

test("the first try neither reclaims nor warns; the second may reclaim", () => {
  const { kernel } = machine();
  const { mempools, functions } = kernel;
  const asked: number[] = [];
  const alloc = functions.register("test_alloc", (_cpu, gfp) => {
    asked.push(gfp);
    return asked.length > 3 ? 0 : 4096;
  });
  const free = functions.register("test_free", () => {});
  const pool = mempools.create(1, alloc, free, 0);
  asked.splice(0, asked.length, 0, 0, 0, 0);
  mempools.allocPreallocated(pool);
  expect(mempools.alloc(pool, Gfp.NOWAIT | GfpFlag.IO)).toBe(0);
  const always = GfpFlag.NOMEMALLOC | GfpFlag.NORETRY | GfpFlag.NOWARN;
  const hard = Gfp.NOWAIT | GfpFlag.IO | always;
  expect(asked.slice(4)).toEqual([hard & ~GfpFlag.IO, hard]);
});

describe("resize", () => {
  test("grows with what can be had, and shrinks by giving back", () => {
    const { kernel, check } = machine();
    const { mempools } = kernel;
    const pool = mempools.createKmallocPool(2, 64);
    expect(mempools.resize(pool, 5)).toBe(true);
    expect(mempools.reserved(pool)).toBe(5);
    expect(mempools.resize(pool, 1)).toBe(true);
    expect(mempools.reserved(pool)).toBe(1);
    mempools.check(pool, true);
    runDry(kernel, pool);
    expect(mempools.resize(pool, 3)).toBe(true);
    expect(mempools.reserved(pool)).toBe(1);
    mempools.check(pool, false);
    mempools.destroy(pool);
    check();
  });

  test("what is out when a reserve shrinks goes behind when it comes back", () => {
    const { kernel } = machine();
    const { mempools } = kernel;
    const pool = mempools.createKmallocPool(2, 64);
    const element = mempools.allocPreallocated(pool);
    mempools.resize(pool, 1);
    mempools.free(pool, element);
    expect(mempools.reserved(pool)).toBe(1);
    mempools.check(pool, true);
  });
});

test.each<[string, (kernel: Kernel) => void, RegExp]>([
  ["a reserve of nothing", ({ mempools }) => void mempools.createKmallocPool(0, 8), /minNr 0: valid/],
  [
    "a resize to half an element",
    ({ mempools }) => void mempools.resize(mempools.createKmallocPool(1, 8), 0.5),
    /minNr 0.5: valid/,
  ],
  [
    "a zeroed element",
    ({ mempools }) => void mempools.alloc(mempools.createKmallocPool(1, 8), Gfp.KERNEL | GfpFlag.ZERO),
    /__GFP_ZERO is not for pools/,
  ],
])("%s is refused", (_name, act, message) => {
  expect(() => act(machine().kernel)).toThrow(message);
});

test("a pool that cannot fill its reserve is not made, and keeps nothing", () => {
  const { kernel, check } = machine();
  const { mempools } = kernel;
  mempools.destroy(mempools.createKmallocPool(2, 8));
  const free = check();
  expect(mempools.createKmallocPool(2, KMALLOC_MAX_BYTES)).toBe(0);
  expect(mempools.createKmallocPool(1, KMALLOC_MAX_BYTES + 1)).toBe(0);
  expect(check()).toBe(free);
});

test.each<[string, (kernel: Kernel, pool: Pointer) => void, RegExp]>([
  ["too many", ({ memory }, pool) => memory.write(pool + Mempool.minNr, 1), /^M1 .* at most 1/],
  [
    "one twice",
    ({ memory }, pool) => {
      const elements = memory.read(pool + Mempool.elements);
      memory.write(elements, memory.read(elements + 1));
    },
    /^M1 .* are not all different/,
  ],
  ["one too few", ({ mempools }, pool) => void mempools.allocPreallocated(pool), /^M3 .*: 1 of 2/],
  [
    "a waiter",
    ({ waitQueues }, pool) => waitQueues.prepareToWait(pool + Mempool.wait, false),
    /1 entries at rest/,
  ],
])("in the reserve: %s is found", (_name, damage, message) => {
  const { kernel } = machine();
  const pool = kernel.mempools.createKmallocPool(2, 64);
  kernel.mempools.check(pool, true);
  damage(kernel, pool);
  expect(() => kernel.mempools.check(pool, true)).toThrow(message);
});
