import { describe, expect, test } from "vitest";
import { AllocFlag } from "../../../src/mm/pages/alloc-flags.ts";
import { ZoneStat } from "../../../src/mm/pages/counters.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import {
  watermarkPages,
  zoneWatermarkFast,
  zoneWatermarkOk,
  zoneWatermarkOkSafe,
} from "../../../src/mm/pages/watermark.ts";
import { Watermark, Zone } from "../../../src/mm/pages/zone.ts";
import { give, take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const { MIN_RESERVE, NON_BLOCK, OOM, CMA, HIGHATOMIC, WMARK_MIN, WMARK_LOW } = AllocFlag;
const NORMAL = 2;
const MARK = 1000;

/** A zone with exactly `free` pages in its counter; its lists hold what they hold. */
function zoneWith(free: number, pages = 4096): PageFixture {
  const machine = pageFixture({ zones: [{ startPfn: 1024, pages, min: MARK }] });
  machine.memory.write(machine.zones[0] + Zone.stat + ZoneStat.nr_free_pages, free);
  return machine;
}

/** The fewest free pages that pass. */
function threshold(flags: number, order = 0, prepare: (machine: PageFixture) => void = () => {}): number {
  const machine = zoneWith(0);
  prepare(machine);
  const at = machine.zones[0] + Zone.stat + ZoneStat.nr_free_pages;
  for (let free = 0; free < 4000; free++) {
    machine.memory.write(at, free);
    if (zoneWatermarkOk(machine.memory, machine.zones[0], order, MARK, NORMAL, flags)) return free;
  }
  return -1;
}

describe("the mark", () => {
  test.each([
    ["is passed by one page more", 0, 1001],
    ["__GFP_HIGH may use half of it", MIN_RESERVE, 501],
    ["who may not wait either, a quarter of the rest", MIN_RESERVE | NON_BLOCK, 376],
    ["not waiting alone gives no right", NON_BLOCK, 1001],
    ["an OOM victim may use half", OOM, 501],
    ["and half of what __GFP_HIGH leaves", OOM | MIN_RESERVE, 251],
  ])("%s", (_what, flags, pages) => {
    expect(threshold(flags)).toBe(pages);
  });

  test("lowmem_reserve is added for who could have used a higher zone", () => {
    const reserve = (m: PageFixture): void => m.memory.write(m.zones[0] + Zone.lowmemReserve + NORMAL, 300);
    expect(threshold(0, 0, reserve)).toBe(1301);
    expect(threshold(MIN_RESERVE, 0, reserve)).toBe(801);
  });

  test("free HIGHATOMIC pages do not count, but for who has a right to reserves", () => {
    const reserve = (m: PageFixture): void => m.memory.write(m.zones[0] + Zone.nrFreeHighatomic, 200);
    expect(threshold(0, 0, reserve)).toBe(1201);
    expect(threshold(MIN_RESERVE, 0, reserve)).toBe(501);
  });

  test("free CMA pages count only for movable pages", () => {
    const reserve = (m: PageFixture): void =>
      m.memory.write(m.zones[0] + Zone.stat + ZoneStat.nr_free_cma, 150);
    expect(threshold(0, 0, reserve)).toBe(1151);
    expect(threshold(CMA, 0, reserve)).toBe(1001);
  });

  test("a block counts as one page", () => {
    expect(threshold(0, 3)).toBe(1008);
    expect(threshold(0, 9)).toBe(1512);
  });

  test("includes the boost", () => {
    const machine = zoneWith(0);
    machine.memory.write(machine.zones[0] + Zone.watermarkBoost, 77);
    expect(watermarkPages(machine.memory, machine.zones[0], Watermark.LOW)).toBe(1250 + 77);
  });
});

describe("a block of the order must be free", () => {
  const ask = (machine: PageFixture, order: number, flags = 0): boolean =>
    zoneWatermarkOk(machine.memory, machine.zones[0], order, 10, NORMAL, flags);

  test("of that order or a larger one", () => {
    const machine = zoneWith(4096);
    expect(ask(machine, 10)).toBe(true);
    for (let i = 0; i < 4; i++) take(machine, 10);
    machine.memory.write(machine.zones[0] + Zone.stat + ZoneStat.nr_free_pages, 4096);
    expect(ask(machine, 0)).toBe(true);
    expect(ask(machine, 1)).toBe(false);
    give(machine, 1024, 4);
    expect(ask(machine, 4)).toBe(true);
    expect(ask(machine, 5)).toBe(false);
  });

  test("CMA, HIGHATOMIC and ISOLATE blocks only for who may have them", () => {
    for (const [type, right] of [
      [MigrateType.CMA, CMA],
      [MigrateType.HIGHATOMIC, HIGHATOMIC],
      [MigrateType.HIGHATOMIC, OOM],
      [MigrateType.ISOLATE, 0],
    ]) {
      const machine = zoneWith(4096);
      for (let pfn = 1024; pfn < 5120; pfn += 512) {
        machine.pages.buddy.convertBlock(machine.zones[0], pfn, MigrateType.MOVABLE, type);
      }
      for (let i = 0; i < 3; i++) take(machine, 10, type);
      machine.memory.write(machine.zones[0] + Zone.stat + ZoneStat.nr_free_pages, 9000);
      expect(ask(machine, 3, 0)).toBe(false);
      expect(ask(machine, 3, right)).toBe(right !== 0);
    }
  });
});

describe("the fast check", () => {
  const fast = (machine: PageFixture, flags: number, mark = MARK, order = 0): boolean =>
    zoneWatermarkFast(machine.memory, machine.zones[0], order, mark, NORMAL, flags);

  test("agrees with the full one", () => {
    expect(fast(zoneWith(1001), WMARK_LOW)).toBe(true);
    expect(fast(zoneWith(1000), WMARK_LOW)).toBe(false);
    expect(fast(zoneWith(501), WMARK_LOW | MIN_RESERVE)).toBe(true);
    expect(fast(zoneWith(1003), WMARK_LOW, MARK, 2)).toBe(false);
    expect(fast(zoneWith(1004), WMARK_LOW, MARK, 2)).toBe(true);
  });

  test("ignores the boost for single __GFP_HIGH pages at the min mark", () => {
    const machine = zoneWith(700);
    machine.memory.write(machine.zones[0] + Zone.watermarkBoost, 2000);
    const boosted = watermarkPages(machine.memory, machine.zones[0], Watermark.MIN);
    expect(boosted).toBe(3000);
    expect(fast(machine, WMARK_MIN | MIN_RESERVE, boosted)).toBe(true);
    expect(fast(machine, WMARK_LOW | MIN_RESERVE, boosted)).toBe(false);
    expect(fast(machine, WMARK_MIN, boosted)).toBe(false);
    expect(fast(machine, WMARK_MIN | MIN_RESERVE, boosted, 1)).toBe(false);
  });
});

test("near the mark the CPUs' deltas are added before an answer", () => {
  const machine = pageFixture({ zones: [{ startPfn: 1024, pages: 4096 }], threshold: 100 });
  const zone = machine.zones[0];
  const at = zone + Zone.stat + ZoneStat.nr_free_pages;
  const folded = machine.memory.read(at);
  for (let i = 0; i < 60; i++) take(machine, 0);
  expect(machine.memory.read(at)).toBe(folded);
  const mark = folded - 30;
  const { vmstat } = machine.pages;
  expect(zoneWatermarkOkSafe(vmstat, zone, 0, mark, NORMAL)).toBe(true);
  machine.memory.write(zone + Zone.percpuDriftMark, folded + 1);
  expect(zoneWatermarkOkSafe(vmstat, zone, 0, mark, NORMAL)).toBe(false);
});
