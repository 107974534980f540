/** The kmalloc family on one thread: which size goes where, what it holds, what comes back. */

import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { PAGE_BYTES, WORD_BYTES } from "../../../src/memory/units.ts";
import { NodeStat } from "../../../src/mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { SlabPage } from "../../../src/mm/pages/page-overlays.ts";
import { readName } from "../../../src/mm/slab/cache-record.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KmallocGlobals, ZERO_SIZE_PTR } from "../../../src/mm/slab/kmalloc.ts";
import {
  KMALLOC_MAX_BYTES,
  KMALLOC_MAX_CACHE_BYTES,
  KMALLOC_SIZES,
  kmallocIndex,
  kmallocSizeRoundup,
} from "../../../src/mm/slab/kmalloc-index.ts";
import { KmemCache } from "../../../src/mm/slab/kmem-cache.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

/** The least class that holds `bytes`. */
const classOf = (bytes: number): number =>
  KMALLOC_SIZES.filter((size) => size >= bytes).reduce((least, size) => Math.min(least, size));

function machine(memory = "16MiB"): Kernels & { kernel: Kernel } {
  const all = kernelsOf({ cpus: 2, memory });
  return { ...all, kernel: all.kernels[0] };
}

const cacheName = ({ memory, slabs }: Kernel, object: number): string =>
  readName(memory, memory.read(slabs.slabs.slabOf(object) + SlabPage.cache));

test("every size from 1 to 8192 goes to the least class that holds it", () => {
  for (let bytes = 1; bytes <= KMALLOC_MAX_CACHE_BYTES; bytes++) {
    if (KMALLOC_SIZES[kmallocIndex(bytes)] !== classOf(bytes))
      expect({ bytes, size: KMALLOC_SIZES[kmallocIndex(bytes)] }).toEqual({ bytes, size: classOf(bytes) });
    expect(kmallocSizeRoundup(bytes)).toBe(classOf(bytes));
  }
});

test("sizes are rounded up to pages above the classes, and not at all where kmalloc gives nothing", () => {
  const cases: readonly (readonly [bytes: number, rounded: number])[] = [
    [0, 0],
    [8193, 16384],
    [16384, 16384],
    [16385, 32768],
    [KMALLOC_MAX_BYTES - 1, KMALLOC_MAX_BYTES],
    [KMALLOC_MAX_BYTES, KMALLOC_MAX_BYTES],
    [KMALLOC_MAX_BYTES + 1, KMALLOC_MAX_BYTES + 1],
  ];
  for (const [bytes, rounded] of cases) expect([bytes, kmallocSizeRoundup(bytes)]).toEqual([bytes, rounded]);
});

test.each<[bytes: number, gfp: number, name: string, ksize: number]>([
  [1, Gfp.KERNEL, "kmalloc-8", 8],
  [9, Gfp.KERNEL, "kmalloc-16", 16],
  [33, Gfp.ATOMIC, "kmalloc-64", 64],
  [65, Gfp.KERNEL, "kmalloc-96", 96],
  [129, Gfp.KERNEL, "kmalloc-192", 192],
  [193, Gfp.KERNEL, "kmalloc-256", 256],
  [1025, Gfp.KERNEL, "kmalloc-2k", 2048],
  [8192, Gfp.KERNEL, "kmalloc-8k", 8192],
  [100, Gfp.KERNEL | GfpFlag.RECLAIMABLE, "kmalloc-rcl-128", 128],
  [100, Gfp.KERNEL_ACCOUNT, "kmalloc-cg-128", 128],
  [100, Gfp.KERNEL_ACCOUNT | GfpFlag.RECLAIMABLE, "kmalloc-rcl-128", 128],
  [100, Gfp.KERNEL_ACCOUNT | GfpFlag.DMA, "dma-kmalloc-128", 128],
])("%i bytes with gfp 0x%x come from %s", (bytes, gfp, name, ksize) => {
  const { kernel, check } = machine();
  kernel.heap.start();
  const object = kernel.heap.kmalloc(bytes, gfp);
  expect(cacheName(kernel, object)).toBe(name);
  expect(kernel.heap.ksize(object)).toBe(ksize);
  // A power of two lies on a multiple of itself.
  expect((object * WORD_BYTES) % (ksize & -ksize)).toBe(0);
  kernel.heap.kfree(object);
  check();
});

test("the caches come with the first size, after the first two caches, and have Linux's flags and alignment", () => {
  const { kernel, check } = machine();
  const { heap, slabs, memory } = kernel;
  const free = check();
  expect(slabs.all()).toEqual([]);
  expect(heap.kmalloc(0, Gfp.KERNEL)).toBe(ZERO_SIZE_PTR);
  expect(check()).toBe(free);
  heap.kfree(heap.kmalloc(1, Gfp.KERNEL));
  const names = checkSlabs(slabs).map(({ name }) => name);
  expect(names).toHaveLength(2 + 4 * 13);
  expect(names.slice(2, 7)).toEqual(["kmalloc-96", "kmalloc-192", "kmalloc-8", "kmalloc-16", "kmalloc-32"]);
  const aligns = slabs
    .all()
    .slice(2, 15)
    .map((cache) => memory.read(cache + KmemCache.align));
  expect(aligns).toEqual([32, 64, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]);
});

test("a machine without ZONE_DMA has no caches for it", () => {
  const { kernels, check } = kernelsOf({
    cpus: 1,
    zones: { dmaBytes: 0, dma32Bytes: 0, lowmemBytes: Number.POSITIVE_INFINITY },
  });
  const { heap, slabs } = kernels[0];
  const object = heap.kmalloc(64, Gfp.KERNEL | GfpFlag.DMA);
  expect(cacheName(kernels[0], object)).toBe("kmalloc-64");
  expect(slabs.all()).toHaveLength(2 + 3 * 13);
  heap.kfree(object);
  check();
});

test("the first request of all may not come from where nothing may sleep", () => {
  const { kernel } = machine();
  kernel.cpu.irqDisable();
  expect(() => kernel.heap.kmalloc(8, Gfp.ATOMIC)).toThrow(/the first kmalloc of all/);
});

describe("large sizes", () => {
  test.each([8193, 16384, 16385, 1 << 20])("%i bytes are whole pages, counted as slabs", (bytes) => {
    const { kernel, check } = machine();
    const { heap, pages, memory } = kernel;
    const free = check();
    const counted = (): number =>
      pages.vmstat.nodeStateSnapshot(pages.frames.nodeAt(0), NodeStat.nr_slab_unreclaimable);
    const object = heap.kzalloc(bytes, Gfp.KERNEL);
    const held = kmallocSizeRoundup(bytes);
    expect(heap.ksize(object)).toBe(held);
    expect(counted()).toBe(held / PAGE_BYTES);
    expect(memory.read(object + held / WORD_BYTES - 1)).toBe(0);
    check();
    heap.kfree(object);
    expect(counted()).toBe(0);
    expect(check()).toBe(free);
  });

  test("what is too large gives nothing, and a warning unless it is not wanted", () => {
    const { kernel } = machine();
    const { heap } = kernel;
    kernel.takeLog();
    expect(heap.kmalloc(KMALLOC_MAX_BYTES + 1, Gfp.KERNEL | GfpFlag.NOWARN)).toBe(0);
    expect(kernel.takeLog()).toEqual([]);
    expect(heap.kmalloc(KMALLOC_MAX_BYTES + 1, Gfp.KERNEL)).toBe(0);
    expect(kernel.takeLog()).toEqual([
      "WARNING: kmalloc: 4194305 bytes are more than KMALLOC_MAX_SIZE 4194304",
    ]);
    expect(heap.kcalloc(2 ** 33, 2 ** 33, Gfp.KERNEL)).toBe(0);
    expect(heap.kmallocArray(2 ** 32, 2 ** 32, Gfp.KERNEL)).toBe(0);
    expect(kernel.takeLog()).toEqual([]);
  });

  test("zones above the direct map are not for kmalloc", () => {
    const { kernel } = machine();
    kernel.takeLog();
    const object = kernel.heap.kmalloc(10_000, Gfp.KERNEL | GfpFlag.HIGHMEM);
    expect(kernel.takeLog()).toEqual(["Unexpected gfp: 0x2. Fixing up to gfp: 0xcc0. Fix your code!"]);
    kernel.heap.kfree(object);
  });
});

describe("krealloc", () => {
  test("keeps what is there, moves only when the class is too small, and frees the old", () => {
    const { kernel, check } = machine();
    const { heap, memory, slabs } = kernel;
    const first = heap.krealloc(0, 20, Gfp.KERNEL);
    memory.write(first, 11);
    memory.write(first + 7, 22);
    expect(heap.krealloc(first, 32, Gfp.KERNEL)).toBe(first);
    const second = heap.krealloc(first, 33, Gfp.KERNEL);
    expect(second).not.toBe(first);
    expect([memory.read(second), memory.read(second + 7)]).toEqual([11, 22]);
    const large = heap.krealloc(second, 20_000, Gfp.KERNEL);
    expect([memory.read(large), memory.read(large + 7), heap.ksize(large)]).toEqual([11, 22, 32768]);
    expect(heap.krealloc(large, 0, Gfp.KERNEL)).toBe(ZERO_SIZE_PTR);
    const left = checkSlabs(slabs).filter(({ name }) => name.startsWith("kmalloc-"));
    expect(left.filter(({ active }) => active > 0)).toEqual([]);
    check();
  });

  test("zeroes byte by byte what is behind the size", () => {
    const { kernel } = machine();
    const { heap, memory } = kernel;
    const object = heap.kmalloc(32, Gfp.KERNEL);
    memory.fill(object, 8, -1);
    expect(heap.krealloc(object, 13, Gfp.KERNEL | GfpFlag.ZERO)).toBe(object);
    const bytes = Array.from({ length: 32 }, (_, i) => memory.readByte(object * WORD_BYTES + i));
    expect(bytes).toEqual(Array.from({ length: 32 }, (_, i) => (i < 13 ? 255 : 0)));
    const moved = heap.krealloc(object, 64, Gfp.KERNEL | GfpFlag.ZERO);
    expect(Array.from({ length: 16 }, (_, i) => memory.read(moved + i)).slice(4)).toEqual(
      new Array<number>(12).fill(0),
    );
  });

  test("leaves the old where there is no memory for the new", () => {
    const { kernel } = machine();
    const { heap, memory } = kernel;
    const object = heap.kmalloc(8, Gfp.KERNEL);
    memory.write(object, 7);
    expect(heap.krealloc(object, KMALLOC_MAX_BYTES + 1, Gfp.KERNEL | GfpFlag.NOWARN)).toBe(0);
    expect(memory.read(object)).toBe(7);
    heap.kfree(object);
  });
});

test("arrays: n elements of a size, zeroed by kcalloc", () => {
  const { kernel } = machine();
  const { heap, memory } = kernel;
  const dirty = heap.kmallocArray(10, 12, Gfp.KERNEL);
  expect(heap.ksize(dirty)).toBe(128);
  memory.fill(dirty, 32, -1);
  heap.kfree(dirty);
  const clean = heap.kcalloc(10, 12, Gfp.KERNEL);
  expect(clean).toBe(dirty);
  expect(Array.from({ length: 32 }, (_, i) => memory.read(clean + i))).toEqual(new Array<number>(32).fill(0));
});

test("a node may be asked for", () => {
  const { kernels, check } = kernelsOf({ cpus: 2, nodes: 2, memory: "64MiB" });
  const { heap, pages } = kernels[0];
  for (const bytes of [64, 50_000]) {
    for (const node of [1, 0]) {
      const object = heap.kmallocNode(bytes, Gfp.KERNEL | GfpFlag.THISNODE, node);
      expect(pages.frames.nodeOf(pages.frames.pageOf(object >> 10))).toBe(node);
      heap.kfree(object);
    }
  }
  check();
});

describe("with debugging of object caches", () => {
  const debugged = (): Kernel => kernelsOf({ cpus: 1, slabDebug: "FZPU" }).kernels[0];
  const titles = (kernel: Kernel): string[] => kernel.takeLog().filter((line) => line.startsWith("BUG "));

  test("a write behind what was asked for is found, although the class is larger", () => {
    const kernel = debugged();
    const { heap, memory } = kernel;
    const object = heap.kzalloc(20, Gfp.KERNEL);
    expect(cacheName(kernel, object)).toBe("kmalloc-32");
    const byte = (offset: number): number => memory.readByte(object * WORD_BYTES + offset);
    expect([byte(19), byte(20), byte(31)]).toEqual([0, 0xcc, 0xcc]);
    memory.writeByte(object * WORD_BYTES + 20, 1);
    kernel.takeLog();
    heap.kfree(object);
    expect(titles(kernel)).toEqual([expect.stringMatching(/^BUG kmalloc-32 .*kmalloc Redzone overwritten/)]);
  });

  test("who asks for the size may use it all", () => {
    const kernel = debugged();
    const { heap, memory } = kernel;
    const object = heap.kmalloc(20, Gfp.KERNEL);
    expect(heap.ksize(object)).toBe(32);
    memory.fill(object, 8, 7);
    kernel.takeLog();
    const grown = heap.krealloc(object, 40, Gfp.KERNEL);
    expect(memory.read(grown + 7)).toBe(7);
    memory.fill(grown, 10, 7);
    heap.kfree(grown);
    expect(titles(kernel)).toEqual([]);
  });
});

describe("what is not from kmalloc", () => {
  test("null and ZERO_SIZE_PTR are freed as nothing, and hold nothing", () => {
    const { kernel, check } = machine();
    const { heap } = kernel;
    const free = check();
    heap.kfree(0);
    heap.kfree(ZERO_SIZE_PTR);
    expect([heap.ksize(0), heap.ksize(ZERO_SIZE_PTR)]).toEqual([0, 0]);
    expect(check()).toBe(free);
  });

  test.each<[string, (kernel: Kernel) => void, RegExp]>([
    [
      "a page",
      ({ heap, pages }) => heap.kfree(pages.getFreePages(Gfp.KERNEL, 0)),
      /neither a slab nor a large kmalloc block/,
    ],
    [
      "the middle of a large block",
      ({ heap }) => heap.kfree(heap.kmalloc(20_000, Gfp.KERNEL) + 1024),
      /is inside a large kmalloc block/,
    ],
    ["a large block twice", ({ heap }) => twice(heap.kmalloc(20_000, Gfp.KERNEL), heap.kfree, heap), /kfree/],
    ["half a byte", ({ heap }) => void heap.kmalloc(1.5e4 + 0.5, Gfp.KERNEL), /valid are whole numbers/],
    ["half a byte of a few", ({ heap }) => void heap.kmalloc(12.5, Gfp.KERNEL), /valid are whole numbers/],
    ["less than nothing", ({ heap }) => void heap.kmalloc(-8, Gfp.KERNEL), /kmalloc of -8 bytes/],
  ])("%s is refused", (_name, act, message) => {
    expect(() => act(machine().kernel)).toThrow(message);
  });
});

function twice<T>(object: number, free: (object: number) => void, self: T): void {
  free.call(self, object);
  free.call(self, object);
}

describe("each invariant, broken on purpose", () => {
  test.each<[string, (kernel: Kernel) => void, RegExp]>([
    [
      "a cache in the wrong place",
      ({ heap, memory }) => memory.write(heap.globals + KmallocGlobals.caches + 1, heap.cacheAt(0, 3)),
      /^K1 the cache for kmalloc-96 is kmalloc-8 of 8 bytes/,
    ],
    [
      "a cache left out",
      ({ heap, memory }) => memory.write(heap.globals + KmallocGlobals.caches + 2, 0),
      /K1 kmalloc-8 is there, kmalloc-192 before it is not/,
    ],
    [
      "pages that nobody counts",
      ({ pages, heap }) => {
        heap.kmalloc(20_000, Gfp.KERNEL);
        pages.vmstat.modNode(pages.frames.nodeAt(0), NodeStat.nr_slab_unreclaimable, -8);
      },
      /K3 node 0: /,
    ],
  ])("%s is found", (_name, damage, message) => {
    const { kernel, check } = machine();
    kernel.heap.start();
    check();
    damage(kernel);
    expect(() => check()).toThrow(message);
  });
});
