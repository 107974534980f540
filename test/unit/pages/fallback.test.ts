import { describe, expect, test } from "vitest";
import { AllocFlag } from "../../../src/mm/pages/alloc-flags.ts";
import { Fallback } from "../../../src/mm/pages/fallback.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import { Page } from "../../../src/mm/pages/page.ts";
import { PageFlag } from "../../../src/mm/pages/page-flags.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { Watermark, Zone, ZoneFlag } from "../../../src/mm/pages/zone.ts";
import { counts, listed, take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const { UNMOVABLE, MOVABLE, RECLAIMABLE, CMA } = MigrateType;
const { NOFRAGMENT, KSWAPD, CMA: ALLOC_CMA } = AllocFlag;

const machineOf = (pages: number, options: { boostFactor?: number; min?: number } = {}): PageFixture =>
  pageFixture({
    zones: [{ startPfn: 1024, pages, min: options.min ?? 0 }],
    boostFactor: options.boostFactor ?? 0,
  });

function fallBack(machine: PageFixture, order: number, type: number, flags = 0): number {
  const page = new Fallback(machine.pages.buddy).take(machine.zones[0], order, type, flags);
  return page === 0 ? 0 : machine.pages.frames.pfnOf(page);
}

/** Marks held frames as movable pages, as an LRU list would. */
function makeMovable({ memory, pages }: PageFixture, pfn: number, count: number): void {
  for (let i = 0; i < count; i++) memory.or(pages.frames.pageOf(pfn + i) + Page.flags, PageFlag.LRU);
}

describe("claiming", () => {
  test("takes the largest block and with it all of its pageblocks", () => {
    const machine = machineOf(2048);
    const pfn = fallBack(machine, 0, UNMOVABLE);
    expect(pfn).toBe(1024);
    const { frames } = machine.pages;
    expect([1024, 1536, 2048].map((at) => frames.blockType(at))).toEqual([UNMOVABLE, UNMOVABLE, MOVABLE]);
    expect(listed(machine, 9, UNMOVABLE)).toEqual([1536]);
    expect(listed(machine, 0, UNMOVABLE)).toEqual([1025]);
    expect(machine.check()).toBe(2047);
  });

  /** Two pageblocks that can never merge: their buddies lie outside the zone. */
  const apart = (): PageFixture => pageFixture({ zones: [{ startPfn: 512, pages: 1024 }] });

  test("asks the types in their order: kernel memory prefers RECLAIMABLE to MOVABLE", () => {
    const machine = apart();
    machine.pages.buddy.convertBlock(machine.zones[0], 1024, MOVABLE, RECLAIMABLE);
    expect(fallBack(machine, 0, UNMOVABLE)).toBe(1024);
    expect(machine.pages.frames.blockType(512)).toBe(MOVABLE);
    machine.check();
  });

  test("converts a pageblock of which half is free or suits, and only that one", () => {
    const machine = apart();
    const held = [take(machine, 8), take(machine, 8), take(machine, 8)];
    expect(held).toEqual([512, 768, 1024]);
    makeMovable(machine, 512, 256);
    machine.pages.buddy.freeBlock(machine.zones[0], 768, 8, MOVABLE, false);
    // 512: 256 free and 256 movable, half suits.  1024: the same, with 256 of kernel memory's own kind.
    const pfn = fallBack(machine, 0, UNMOVABLE);
    expect(pfn).toBe(768);
    expect(machine.pages.frames.blockType(512)).toBe(UNMOVABLE);
    expect(machine.pages.frames.blockType(1024)).toBe(MOVABLE);
    expect(listed(machine, 8, MOVABLE)).toEqual([1280]);
    machine.check();
  });

  test("leaves a pageblock that is mostly movable, and steals one block", () => {
    const machine = machineOf(512);
    const held = take(machine, 8);
    makeMovable(machine, held, 256);
    const more = take(machine, 7);
    makeMovable(machine, more, 128);
    expect(counts(machine)[7]).toBe(1);
    const pfn = fallBack(machine, 0, UNMOVABLE);
    expect(pfn).toBeGreaterThan(0);
    expect(machine.pages.frames.blockType(1024)).toBe(MOVABLE);
    // Stolen, the rest went back to the movable lists.
    expect(listed(machine, 6)).toHaveLength(1);
    expect(listed(machine, 0)).toHaveLength(1);
    machine.check();
  });

  test("takes the block for movable pages only if enough of it is movable", () => {
    const machine = machineOf(512);
    machine.pages.buddy.convertBlock(machine.zones[0], 1024, MOVABLE, UNMOVABLE);
    const held = take(machine, 8, UNMOVABLE);
    take(machine, 7, UNMOVABLE);
    // 128 free; with 128 movable ones half is reached.
    makeMovable(machine, held, 127);
    fallBack(machine, 4, MOVABLE);
    expect(machine.pages.frames.blockType(1024)).toBe(UNMOVABLE);
    makeMovable(machine, held + 127, 40);
    fallBack(machine, 4, MOVABLE);
    expect(machine.pages.frames.blockType(1024)).toBe(MOVABLE);
    machine.check();
  });

  test("of small blocks is for kernel memory alone: movable pages steal below order 4", () => {
    const machine = machineOf(512);
    machine.pages.buddy.convertBlock(machine.zones[0], 1024, MOVABLE, UNMOVABLE);
    while (take(machine, 4, UNMOVABLE) !== 0) {}
    const { buddy, frames } = machine.pages;
    buddy.freeBlock(machine.zones[0], 1024, 3, UNMOVABLE, false);
    expect(fallBack(machine, 0, MOVABLE)).toBe(1024);
    expect(frames.blockType(1024)).toBe(UNMOVABLE);
    machine.check();
  });

  test("does not cross the ends of the zone", () => {
    const machine = pageFixture({ zones: [{ startPfn: 1024, pages: 500 }] });
    const pfn = fallBack(machine, 0, UNMOVABLE);
    expect(pfn).toBeGreaterThan(0);
    expect(machine.pages.frames.blockType(1024)).toBe(MOVABLE);
    machine.check();
  });
});

describe("stealing", () => {
  test("takes from the smallest block that suffices", () => {
    const machine = machineOf(1024);
    const held = take(machine, 3);
    makeMovable(machine, held, 8);
    while (counts(machine)[9] + counts(machine)[10] > 0) makeMovable(machine, take(machine, 9), 512);
    for (const order of [8, 7, 6, 5, 4]) makeMovable(machine, take(machine, order), 1 << order);
    expect(counts(machine)).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    const pfn = fallBack(machine, 1, UNMOVABLE);
    expect(pfn).toBe(held + 8);
    expect(listed(machine, 1)).toEqual([held + 10]);
    expect(listed(machine, 2)).toEqual([held + 12]);
    machine.check();
  });

  test("is refused with NOFRAGMENT, and so are pageblocks in part", () => {
    const machine = machineOf(512);
    take(machine, 0);
    expect(fallBack(machine, 0, UNMOVABLE, NOFRAGMENT)).toBe(0);
    const whole = machineOf(512);
    expect(fallBack(whole, 0, UNMOVABLE, NOFRAGMENT)).toBe(1024);
    expect(whole.pages.frames.blockType(1024)).toBe(UNMOVABLE);
  });
});

describe("CMA", () => {
  test("serves movable pages when it holds more than half of what is free, and when nothing else does", () => {
    const machine = machineOf(1024);
    const { buddy, frames } = machine.pages;
    const low = take(machine, 9);
    frames.setBlockType(low, CMA);
    buddy.freeBlock(machine.zones[0], low, 9, CMA, false);
    expect(fallBack(machine, 0, MOVABLE, ALLOC_CMA)).toBe(1536);
    // Now 512 of 1023 free pages are CMA: more than half.
    expect(fallBack(machine, 0, MOVABLE, ALLOC_CMA)).toBe(1024);
    expect(fallBack(machine, 0, MOVABLE, 0)).toBe(1537);
    while (take(machine, 0) !== 0) {}
    expect(fallBack(machine, 3, MOVABLE, 0)).toBe(0);
    expect(fallBack(machine, 3, MOVABLE, ALLOC_CMA)).toBe(1032);
    expect(fallBack(machine, 0, UNMOVABLE, 0)).toBe(0);
    machine.check();
  });
});

describe("the watermark boost", () => {
  const spoilt = (options: { boostFactor: number; min: number }): PageFixture => {
    const machine = machineOf(4096, options);
    take(machine, 0);
    while (listed(machine, 10).length > 0) take(machine, 10);
    take(machine, 9);
    return machine;
  };
  const boostOf = ({ memory, zones }: PageFixture): number => memory.read(zones[0] + Zone.watermarkBoost);

  test("rises by a pageblock a claim, up to the factor of the high mark", () => {
    const machine = spoilt({ boostFactor: 15_000, min: 400 });
    const high = machine.memory.read(machine.zones[0] + Zone.watermark + Watermark.HIGH);
    fallBack(machine, 0, UNMOVABLE, KSWAPD);
    expect(boostOf(machine)).toBe(512);
    expect(machine.memory.read(machine.zones[0] + Zone.flags)).toBe(ZoneFlag.BOOSTED_WATERMARK);
    while (take(machine, 0, UNMOVABLE) !== 0) {}
    machine.pages.buddy.freeBlock(machine.zones[0], 1024, 0, UNMOVABLE, false);
    fallBack(machine, 0, RECLAIMABLE, 0);
    expect(boostOf(machine)).toBe(Math.min(1024, Math.floor(high * 1.5)));
  });

  test("is at least a pageblock even with a low high mark", () => {
    const machine = spoilt({ boostFactor: 15_000, min: 4 });
    fallBack(machine, 0, UNMOVABLE, 0);
    expect(boostOf(machine)).toBe(512);
    expect(machine.memory.read(machine.zones[0] + Zone.flags)).toBe(0);
  });

  test("does nothing when it is off, when there is no high mark, and in zones of less than four pageblocks", () => {
    const off = spoilt({ boostFactor: 0, min: 400 });
    fallBack(off, 0, UNMOVABLE, KSWAPD);
    expect(boostOf(off)).toBe(0);
    const unmarked = spoilt({ boostFactor: 15_000, min: 0 });
    fallBack(unmarked, 0, UNMOVABLE, KSWAPD);
    expect(boostOf(unmarked)).toBe(0);
    const small = machineOf(1024, { boostFactor: 15_000, min: 400 });
    take(small, 0);
    take(small, 9);
    fallBack(small, 0, UNMOVABLE, KSWAPD);
    expect(boostOf(small)).toBe(0);
  });
});

test("a machine that does not group by mobility converts every pageblock that it falls back to", () => {
  const machine = machineOf(512);
  machine.memory.write(machine.pages.frames.globals + PageGlobals.groupByMobilityDisabled, 1);
  const held = take(machine, 8);
  makeMovable(machine, held, 256);
  makeMovable(machine, take(machine, 7), 128);
  fallBack(machine, 0, UNMOVABLE);
  expect(machine.pages.frames.blockType(1024)).toBe(UNMOVABLE);
});
