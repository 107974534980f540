import { describe, expect, test } from "vitest";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import { Page } from "../../../src/mm/pages/page.ts";
import { PcpFlag } from "../../../src/mm/pages/per-cpu-pages.ts";
import { Zone, ZoneFlag } from "../../../src/mm/pages/zone.ts";
import { counts, listed, pageLists, pcpField, setPcpField, take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const { UNMOVABLE, MOVABLE, HIGHATOMIC, CMA, ISOLATE } = MigrateType;
const MOVABLE_ORDER_0 = 1;

interface Sizes {
  batch?: number;
  highMin?: number;
  highMax?: number;
  cpus?: number;
}

function machineOf(sizes: Sizes = {}): PageFixture {
  const { batch = 4, highMin = 16, highMax = 64, cpus = 1 } = sizes;
  return pageFixture({ cpus, zones: [{ startPfn: 1024, pages: 4096, min: 10, batch, highMin, highMax }] });
}

const allocMovable = (machine: PageFixture, order = 0, cpu = 0): number =>
  machine.allocators[cpu].allocPages(Gfp.KERNEL | GfpFlag.MOVABLE, order);

const allocMany = (machine: PageFixture, count: number): number[] =>
  Array.from({ length: count }, () => allocMovable(machine));

const lockWord = (machine: PageFixture, cpu = 0): number =>
  machine.pages.lists.listsOf(machine.zones[0], cpu);

describe("taking", () => {
  test("fills an empty list with a batch in the order of the frames, and hands out the first", () => {
    const machine = machineOf();
    expect(allocMovable(machine)).toBe(1024);
    expect(pageLists(machine)[MOVABLE_ORDER_0]).toEqual([1025, 1026, 1027]);
    expect(pcpField(machine, "count")).toBe(3);
    expect(machine.check()).toBe(4095);
  });

  test("what was freed last is given out first", () => {
    const machine = machineOf();
    const [a, b] = allocMany(machine, 2);
    machine.pages.freePage(a);
    machine.pages.freePage(b);
    expect(pageLists(machine)[MOVABLE_ORDER_0].slice(0, 2)).toEqual([b, a]);
    expect(allocMovable(machine)).toBe(b);
  });

  test("doubles the refill each time that the CPU only allocates, up to 32 batches or what high leaves", () => {
    const machine = machineOf({ batch: 4, highMin: 1000, highMax: 2000 });
    const factors: number[] = [];
    const refills: number[] = [];
    for (let i = 0; i < 8; i++) {
      while (pcpField(machine, "count") > 0) allocMovable(machine);
      allocMovable(machine);
      refills.push(pcpField(machine, "count") + 1);
      factors.push(pcpField(machine, "allocFactor"));
    }
    expect(refills).toEqual([4, 8, 16, 32, 64, 128, 128, 128]);
    expect(factors).toEqual([1, 2, 3, 4, 5, 5, 5, 5]);
    machine.pages.freePage(1024);
    expect(pcpField(machine, "allocFactor")).toBe(2);
  });

  test("raises high by a batch at a refill while the zone has plenty, as far as highMax", () => {
    const machine = machineOf({ batch: 4, highMin: 16, highMax: 27 });
    const highs: number[] = [];
    for (let i = 0; i < 3; i++) {
      while (pcpField(machine, "count") > 0) allocMovable(machine);
      allocMovable(machine);
      highs.push(pcpField(machine, "high"));
    }
    expect(highs).toEqual([20, 27, 27]);
  });

  test("below the high mark high does not grow", () => {
    const machine = machineOf();
    machine.memory.write(machine.zones[0] + Zone.flags, ZoneFlag.BELOW_HIGH);
    allocMovable(machine);
    expect(pcpField(machine, "high")).toBe(16);
  });

  test("refills larger blocks by their share of a batch, at least two", () => {
    const machine = machineOf({ batch: 63, highMin: 1000, highMax: 2000 });
    allocMovable(machine, 2);
    expect(pcpField(machine, "count")).toBe((15 - 1) * 4);
    allocMovable(machine, 9);
    expect(pageLists(machine)[13]).toHaveLength(1);
    expect(pcpField(machine, "count")).toBe(14 * 4 + 512);
    machine.check();
  });

  test("takes one block at a time when the lists are switched off by high 0", () => {
    const machine = machineOf({ highMin: 0, highMax: 0 });
    const pfn = allocMovable(machine);
    expect(pcpField(machine, "count")).toBe(0);
    machine.pages.freePage(pfn);
    expect(pcpField(machine, "count")).toBe(0);
    expect(machine.check()).toBe(4096);
  });

  test("orders 4 to 8 and 10 never use the lists", () => {
    const machine = machineOf();
    for (const order of [4, 8, 10]) {
      machine.pages.freePages(allocMovable(machine, order), order);
      expect(pcpField(machine, "count")).toBe(0);
    }
  });
});

describe("giving", () => {
  test("keeps pages up to high, then returns a batch, the oldest first", () => {
    const machine = machineOf({ batch: 4, highMin: 8, highMax: 8 });
    const pfns = allocMany(machine, 20);
    setPcpField(machine, "freeCount", 0);
    while (pcpField(machine, "count") > 0) pfns.push(allocMovable(machine));
    const given = pfns.splice(0, 8);
    for (const pfn of given.slice(0, 7)) machine.pages.freePage(pfn);
    expect(pcpField(machine, "count")).toBe(7);
    const freeBefore = machine.pages.vmstat.zoneStateSnapshot(machine.zones[0], 0);
    machine.pages.freePage(given[7]);
    expect(pcpField(machine, "count")).toBe(4);
    expect(pageLists(machine)[MOVABLE_ORDER_0]).toEqual(given.slice(4).toReversed());
    expect(machine.pages.vmstat.zoneStateSnapshot(machine.zones[0], 0)).toBe(freeBefore + 4);
    machine.check();
  });

  test("returns as many at a time as were freed in a row, while a batch stays", () => {
    const machine = machineOf({ batch: 4, highMin: 40, highMax: 40 });
    const pfns = allocMany(machine, 100);
    while (pcpField(machine, "count") > 0) pfns.push(allocMovable(machine));
    for (let i = 0; i < 39; i++) machine.pages.freePage(pfns[i]);
    expect([pcpField(machine, "count"), pcpField(machine, "freeCount")]).toEqual([39, 39]);
    machine.pages.freePage(pfns[39]);
    // 40 freed in a row; 36 go, so that one batch is left.
    expect(pcpField(machine, "count")).toBe(4);
    // An allocation halves what counts as freed in a row.
    allocMovable(machine);
    expect(pcpField(machine, "freeCount")).toBe(20);
  });

  test("counts at most 32 batches as freed in a row", () => {
    const machine = machineOf({ batch: 1, highMin: 100, highMax: 100 });
    const pfns = allocMany(machine, 60);
    for (const pfn of pfns) machine.pages.freePage(pfn);
    expect(pcpField(machine, "freeCount")).toBe(32);
  });

  test("takes from all lists in turn, beginning with the one just freed to", () => {
    const machine = machineOf({ batch: 4, highMin: 12, highMax: 12 });
    const alloc = (gfp: number): number[] => Array.from({ length: 4 }, () => machine.pages.allocPage(gfp));
    const unmovable = alloc(Gfp.KERNEL);
    const reclaimable = alloc(Gfp.KERNEL | GfpFlag.RECLAIMABLE);
    const movable = alloc(Gfp.KERNEL | GfpFlag.MOVABLE);
    machine.pages.drain.cpu(0);
    for (const pfn of [...unmovable, ...reclaimable]) machine.pages.freePage(pfn);
    for (const pfn of movable.slice(0, 3)) machine.pages.freePage(pfn);
    setPcpField(machine, "freeCount", 6);
    machine.pages.freePage(movable[3]);
    // 7 in a row: the four movable pages, then three of the list that follows, oldest first.
    const lists = pageLists(machine);
    expect(lists[MOVABLE]).toEqual([]);
    expect(lists[MigrateType.RECLAIMABLE]).toEqual([reclaimable[3]]);
    expect(lists[UNMOVABLE]).toHaveLength(4);
    expect(machine.check()).toBe(4096);
  });

  test("grows high for a CPU that frees much at a time", () => {
    const machine = machineOf({ batch: 4, highMin: 16, highMax: 64 });
    const pfns = allocMany(machine, 60);
    while (pcpField(machine, "count") > 0) pfns.push(allocMovable(machine));
    setPcpField(machine, "high", 16);
    for (const pfn of pfns.slice(0, 15)) machine.pages.freePage(pfn);
    expect(pcpField(machine, "high")).toBe(16);
    machine.pages.freePage(pfns[15]);
    expect(pcpField(machine, "high")).toBe(20);
  });

  test("below the high mark all goes but the minimum, and high falls; above it again the flag is cleared", () => {
    const machine = machineOf({ batch: 4, highMin: 8, highMax: 64 });
    const pfns = allocMany(machine, 40);
    while (pcpField(machine, "count") > 0) pfns.push(allocMovable(machine));
    setPcpField(machine, "high", 40);
    setPcpField(machine, "freeCount", 0);
    machine.memory.or(machine.zones[0] + Zone.flags, ZoneFlag.BELOW_HIGH);
    for (const pfn of pfns.slice(0, 7)) machine.pages.freePage(pfn);
    expect(pcpField(machine, "count")).toBe(7);
    machine.pages.freePage(pfns[7]);
    expect(pcpField(machine, "count")).toBe(4);
    expect(pcpField(machine, "high")).toBeLessThan(40);
    expect(machine.memory.read(machine.zones[0] + Zone.flags)).toBe(0);
  });

  test("while kswapd reclaims, four batches may stay", () => {
    const machine = machineOf({ batch: 4, highMin: 10, highMax: 64 });
    const pfns = allocMany(machine, 40);
    while (pcpField(machine, "count") > 0) pfns.push(allocMovable(machine));
    setPcpField(machine, "high", 40);
    setPcpField(machine, "freeCount", 0);
    machine.memory.or(machine.zones[0] + Zone.flags, ZoneFlag.RECLAIM_ACTIVE);
    for (const pfn of pfns.slice(0, 16)) machine.pages.freePage(pfn);
    expect(pcpField(machine, "count")).toBeLessThan(16);
    machine.check();
  });

  test("larger blocks in a row are returned at once, or after a batch where the cache is large", () => {
    const small = machineOf({ batch: 4, highMin: 200, highMax: 200 });
    const blocks = Array.from({ length: 8 }, () => allocMovable(small, 1));
    small.pages.drain.cpu(0);
    for (const pfn of blocks.slice(0, 3)) small.pages.freePages(pfn, 1);
    expect(pcpField(small, "count")).toBe(0);

    const large = machineOf({ batch: 4, highMin: 200, highMax: 200 });
    setPcpField(large, "flags", PcpFlag.FREE_HIGH_BATCH);
    const more = Array.from({ length: 8 }, () => allocMovable(large, 1));
    large.pages.drain.cpu(0);
    for (const pfn of more.slice(0, 3)) large.pages.freePages(pfn, 1);
    expect(pcpField(large, "count")).toBe(0);
    const single = allocMovable(large);
    large.pages.freePage(single);
    expect(pcpField(large, "flags")).toBe(PcpFlag.FREE_HIGH_BATCH);
  });

  test("pages of isolated pageblocks go to the zone, those of CMA and HIGHATOMIC ones to the movable list", () => {
    const machine = machineOf();
    const pfns = allocMany(machine, 3);
    machine.pages.drain.cpu(0);
    const { frames, buddy } = machine.pages;
    buddy.convertBlock(machine.zones[0], 1024, MOVABLE, ISOLATE);
    machine.pages.freePage(pfns[0]);
    expect(pcpField(machine, "count")).toBe(0);
    expect(listed(machine, 0, ISOLATE)).toContain(pfns[0]);
    buddy.convertBlock(machine.zones[0], 1024, ISOLATE, CMA);
    machine.pages.freePage(pfns[1]);
    buddy.convertBlock(machine.zones[0], 1024, CMA, HIGHATOMIC);
    machine.pages.freePage(pfns[2]);
    expect(pageLists(machine)[MOVABLE_ORDER_0]).toEqual([pfns[2], pfns[1]]);
    expect(frames.blockType(1024)).toBe(HIGHATOMIC);
    machine.check();
  });

  test("a pageblock that changed its type meanwhile gets its pages under the new one", () => {
    const machine = machineOf();
    const pfn = allocMovable(machine);
    machine.pages.freePage(pfn);
    machine.pages.buddy.convertBlock(machine.zones[0], 1024, MOVABLE, ISOLATE);
    machine.pages.drain.all();
    expect(listed(machine, 9, ISOLATE)).toEqual([1024]);
    machine.check();
  });
});

describe("a lock that somebody else has", () => {
  test("sends allocations and frees past the lists", () => {
    const machine = machineOf({ cpus: 2 });
    const pfn = allocMovable(machine);
    const count = pcpField(machine, "count");
    machine.memory.store(lockWord(machine), 1);
    const past = allocMovable(machine);
    machine.pages.freePage(pfn);
    expect(pcpField(machine, "count")).toBe(count);
    machine.memory.store(lockWord(machine), 0);
    machine.pages.freePage(past);
    machine.check();
  });
});

describe("draining", () => {
  test("any CPU returns another's pages, all of them", () => {
    const machine = machineOf({ cpus: 3, batch: 1, highMin: 200, highMax: 200 });
    const pfns = Array.from({ length: 150 }, () => allocMovable(machine, 0, 2));
    for (const pfn of pfns) machine.allocators[2].freePage(pfn);
    expect(pcpField(machine, "count", 2)).toBeGreaterThanOrEqual(150);
    machine.allocators[0].drain.all();
    expect(pcpField(machine, "count", 2)).toBe(0);
    expect(counts(machine)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
  });

  test("of one zone leaves the others", () => {
    const machine = pageFixture({
      zones: [
        { startPfn: 1024, pages: 1024, index: 1 },
        { startPfn: 2048, pages: 1024, index: 2 },
      ],
    });
    machine.pages.freePage(machine.pages.allocPage(Gfp.DMA32));
    machine.pages.freePage(machine.pages.allocPage(Gfp.KERNEL));
    machine.pages.drain.zone(machine.zones[1]);
    expect(pcpField(machine, "count")).toBeGreaterThan(0);
    machine.pages.drain.all();
    expect(pcpField(machine, "count")).toBe(0);
    machine.check();
  });
});

test("an idle CPU's high decays to its minimum, and the pages above it go back", () => {
  const machine = machineOf({ batch: 4, highMin: 16, highMax: 2000 });
  const pfns = allocMany(machine, 300);
  setPcpField(machine, "high", 800);
  for (const pfn of pfns) machine.pages.freePage(pfn);
  setPcpField(machine, "high", 800);
  const highs: number[] = [];
  while (machine.pages.lists.decay(machine.zones[0])) highs.push(pcpField(machine, "high"));
  expect(highs[0]).toBe(700);
  expect(pcpField(machine, "high")).toBe(16);
  expect(pcpField(machine, "count")).toBeLessThanOrEqual(16);
  machine.check();
});

test("the periodic update leaves a list alone whose lock is taken, perhaps by the code that it interrupted", () => {
  const machine = machineOf({ batch: 4, highMin: 16, highMax: 2000 });
  for (const pfn of allocMany(machine, 100)) machine.pages.freePage(pfn);
  const count = pcpField(machine, "count");
  setPcpField(machine, "high", 50);
  machine.locks[0].lock(lockWord(machine));
  expect(machine.pages.lists.decay(machine.zones[0])).toBe(true);
  machine.pages.lists.drainBatch(machine.zones[0]);
  expect([pcpField(machine, "count"), pcpField(machine, "high")]).toEqual([count, 50]);
  machine.locks[0].unlock(lockWord(machine));
  machine.pages.lists.decay(machine.zones[0]);
  expect(pcpField(machine, "count")).toBeLessThan(count);
});

describe("the check finds", () => {
  const broken: readonly [what: string, harm: (machine: PageFixture) => void, message: RegExp][] = [
    ["a wrong count", (m) => setPcpField(m, "count", 4), /L1 .*: 3 pages are on the lists, count says 4/],
    ["a count below the lists", (m) => setPcpField(m, "count", 2), /L1 .*list 1: more than 2 entries/],
    [
      "a page that is not said to be listed",
      (m) => m.memory.write(m.pages.frames.pageOf(1025) + Page.type, 0),
      /L2 .*: frame 1025 has type 0x0/,
    ],
    [
      "a listed page with references",
      (m) => m.memory.write(m.pages.frames.pageOf(1025) + Page.refcount, 2),
      /L2 .*: frame 1025 has refcount 2/,
    ],
    [
      "a page of another zone",
      (m) => m.memory.write(m.pages.frames.pageOf(1025) + Page.flags, 0),
      /L2 .*: frame 1025 belongs to another zone/,
    ],
    [
      "a page that is free in the zone too",
      (m) => m.memory.write(m.pages.frames.pageOf(1025) + Page.buddy, 1),
      /L3 .*: frame 1025 is in the buddy allocator too/,
    ],
    [
      "a high out of its range",
      (m) => setPcpField(m, "high", 1089),
      /L4 .*: high 1089 is not between 16 and 1088/,
    ],
  ];
  test.each(broken)("%s", (_what, harm, message) => {
    const machine = machineOf();
    expect(allocMovable(machine)).toBe(1024);
    harm(machine);
    expect(() => machine.check()).toThrow(message);
  });

  test("a count without pages, when it frees", () => {
    const machine = machineOf({ highMin: 4, highMax: 4 });
    const pfn = allocMovable(machine);
    machine.pages.drain.cpu(0);
    setPcpField(machine, "count", 40);
    expect(() => machine.pages.freePage(pfn)).not.toThrow();
    setPcpField(machine, "count", 40);
    expect(() => machine.pages.drain.cpu(0)).toThrow(/pcp \d+: count is \d+, all lists are empty/);
  });
});

test("blocks are taken from the zone when the lists have none of the order", () => {
  const machine = machineOf();
  expect(take(machine, 10)).toBe(1024);
  expect(allocMovable(machine, 10)).toBe(2048);
});
