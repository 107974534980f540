/**
 * The fast path against the general one: two machines that differ in nothing but that, given the same requests, hold
 * the same words of memory after each.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FRAME_WORDS, frameOf } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import { Page } from "../../../src/mm/pages/page.ts";
import type { PageAllocator } from "../../../src/mm/pages/page-allocator.ts";
import { PageFlag } from "../../../src/mm/pages/page-flags.ts";
import { Zone, ZoneFlag } from "../../../src/mm/pages/zone.ts";
import { pcpField, setPcpField } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const FRAMES = 1024 + 4096;

function machineOf(options: { threshold?: number } = {}): PageFixture {
  return pageFixture({
    ...options,
    zones: [
      { startPfn: 512, pages: 512, index: 1, min: 8, batch: 3, highMin: 12, highMax: 40 },
      { startPfn: 1024, pages: 4096, index: 2, min: 64, batch: 7, highMin: 28, highMax: 120 },
    ],
  });
}

interface FastPath {
  take(gfp: number): number;
  put(page: number, pfn: number): boolean;
}
const fastPathOf = (pages: PageAllocator): FastPath => (pages as unknown as { fast: FastPath }).fast;

/** How often the fast path took and put. */
function watch(machine: PageFixture): { taken: number; put: number } {
  const seen = { taken: 0, put: 0 };
  const fast = fastPathOf(machine.pages);
  const { take, put } = fast;
  fast.take = (gfp) => {
    const page = take.call(fast, gfp);
    if (page !== 0) seen.taken++;
    return page;
  };
  fast.put = (page, pfn) => {
    const done = put.call(fast, page, pfn);
    if (done) seen.put++;
    return done;
  };
  return seen;
}

function refuseAll(machine: PageFixture): void {
  const fast = fastPathOf(machine.pages);
  fast.take = () => 0;
  fast.put = () => false;
}

/** The words beyond the frames: page structs, zones, lists, counters.  Lock statistics count refusals, and are left out. */
function words(machine: PageFixture): number[] {
  const { memory, pages } = machine;
  const { frames } = pages;
  const all: number[] = [];
  for (let pfn = 0; pfn < FRAMES; pfn++) {
    for (let word = 0; word < 16; word++) all.push(memory.read(frames.pageOf(pfn) + word));
  }
  for (const zone of machine.zones) {
    for (let word = Zone.index; word < Zone.lock; word++) all.push(memory.read(zone + word));
    for (let word = Zone.freeArea; word < Zone.end; word++) all.push(memory.read(zone + word));
    const pcp = pages.lists.listsOf(zone, 0);
    for (let word = 4; word < 48; word++) all.push(memory.read(pcp + word));
    const stats = memory.read(zone + Zone.zonestats);
    for (let word = 0; word < 32; word++) all.push(memory.read(stats + word));
  }
  return all;
}

const gfp = fc.constantFrom(
  Gfp.KERNEL,
  Gfp.ATOMIC,
  Gfp.HIGHUSER_MOVABLE,
  Gfp.KERNEL | GfpFlag.RECLAIMABLE,
  Gfp.DMA32 | Gfp.ATOMIC,
  Gfp.KERNEL | GfpFlag.ZERO,
  Gfp.KERNEL | GfpFlag.THISNODE,
);

test("both ways leave the same memory, and the fast one is used", () => {
  let fastUses = 0;
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.record({ gfp }), fc.record({ free: fc.nat() })), {
        minLength: 20,
        maxLength: 300,
      }),
      fc.constantFrom(0, 20),
      (steps, threshold) => {
        const fast = machineOf({ threshold });
        const general = machineOf({ threshold });
        const seen = watch(fast);
        refuseAll(general);
        const held: number[] = [];
        for (const step of steps) {
          if ("gfp" in step) {
            const pfn = fast.pages.allocPage(step.gfp);
            expect(general.pages.allocPage(step.gfp)).toBe(pfn);
            if (pfn !== 0) held.push(pfn);
          } else if (held.length > 0) {
            const [pfn] = held.splice(step.free % held.length, 1);
            fast.pages.freePage(pfn);
            general.pages.freePage(pfn);
          }
        }
        fastUses += seen.taken + seen.put;
        expect(words(fast)).toEqual(words(general));
        fast.check();
      },
    ),
    { numRuns: 25 },
  );
  expect(fastUses).toBeGreaterThan(50);
});

test("the fast path clears a page that is to be zeroed, and no other", () => {
  const machine = machineOf();
  const { pages, memory } = machine;
  const contents = (pfn: number): Set<number> =>
    new Set(Array.from({ length: FRAME_WORDS }, (_, i) => memory.read(frameOf(pfn) + i)));
  const pfn = pages.allocPage(Gfp.KERNEL);
  memory.fill(frameOf(pfn), FRAME_WORDS, 0x1234567);
  const seen = watch(machine);
  pages.freePage(pfn);
  expect(pages.allocPage(Gfp.KERNEL)).toBe(pfn);
  expect(contents(pfn)).toEqual(new Set([0x1234567]));
  pages.freePage(pfn);
  expect(pages.allocPage(Gfp.KERNEL | GfpFlag.ZERO)).toBe(pfn);
  expect(contents(pfn)).toEqual(new Set([0]));
  expect(seen).toMatchObject({ taken: 2, put: 2 });
});

describe("the fast path refuses, and the general one answers,", () => {
  const warm = (): PageFixture => {
    const machine = machineOf();
    machine.pages.freePage(machine.pages.allocPage(Gfp.KERNEL));
    return machine;
  };
  const take = (machine: PageFixture, flags: number = Gfp.KERNEL): boolean =>
    fastPathOf(machine.pages).take(flags) !== 0;

  test("nothing when nothing is special", () => {
    expect(take(warm())).toBe(true);
  });

  const refused: readonly [when: string, prepare: (m: PageFixture) => void, flags?: number][] = [
    ["an empty list", (m) => m.pages.drain.cpu(0)],
    ["this node only", () => {}, Gfp.KERNEL | GfpFlag.THISNODE],
    ["a lower zone", () => {}, Gfp.DMA32],
    ["flags that clash", () => {}, Gfp.DMA | Gfp.DMA32],
    ["a zone below its high mark", (m) => m.memory.write(m.zones[1] + Zone.flags, ZoneFlag.BELOW_HIGH)],
    [
      "a zone whose marks were boosted",
      (m) => m.memory.write(m.zones[1] + Zone.flags, ZoneFlag.BOOSTED_WATERMARK),
    ],
    ["too few free pages", (m) => m.memory.write(m.zones[1] + Zone.stat, 96)],
    ["free pages that are kept for others", (m) => m.memory.write(m.zones[1] + Zone.nrFreeHighatomic, 5000)],
    ["free CMA pages, for kernel memory", (m) => m.memory.write(m.zones[1] + Zone.stat + 10, 5000)],
    ["a list that somebody else has", (m) => m.memory.store(m.pages.lists.listsOf(m.zones[1], 0), 1)],
  ];
  test.each(refused)("%s", (_when, prepare, flags) => {
    const machine = warm();
    prepare(machine);
    const before = words(machine);
    expect(take(machine, flags)).toBe(false);
    expect(words(machine)).toEqual(before);
  });

  test("a bad page", () => {
    const machine = warm();
    const pfn = machine.pages.allocPage(Gfp.KERNEL);
    machine.pages.freePage(pfn);
    machine.memory.write(machine.pages.frames.pageOf(pfn) + Page.refcount, 3);
    expect(() => machine.pages.allocPage(Gfp.KERNEL)).toThrow("nonzero _refcount");
  });

  const kept: readonly [when: string, prepare: (m: PageFixture, page: number) => void][] = [
    ["a flagged page", (m, page) => m.memory.or(page + Page.flags, PageFlag.UPTODATE)],
    ["a mapped page", (m, page) => m.memory.write(page + Page.mapcount, 0)],
    ["a page of a larger block", (m, page) => m.memory.write(page + Page.type, 3 | (1 << 8))],
    ["an isolated pageblock", (m) => m.pages.frames.setBlockType(1024, MigrateType.ISOLATE)],
    ["a zone that is short of memory", (m) => m.memory.write(m.zones[1] + Zone.flags, ZoneFlag.BELOW_HIGH)],
    ["a full list", (m) => m.memory.write(m.pages.lists.listsOf(m.zones[1], 0) + 5, 1)],
    ["a list that somebody else has", (m) => m.memory.store(m.pages.lists.listsOf(m.zones[1], 0), 1)],
  ];
  test.each(kept)("%s that comes back", (_when, prepare) => {
    const machine = warm();
    const pfn = machine.pages.allocPage(Gfp.KERNEL);
    const page = machine.pages.frames.pageOf(pfn);
    machine.memory.write(page + Page.refcount, 0);
    prepare(machine, page);
    const before = words(machine);
    expect(fastPathOf(machine.pages).put(page, pfn)).toBe(false);
    expect(words(machine)).toEqual(before);
  });

  test("a free after one of a larger block, which must be noted", () => {
    const machine = pageFixture({
      zones: [{ startPfn: 1024, pages: 4096, batch: 7, highMin: 60, highMax: 60 }],
    });
    const pfn = machine.pages.allocPage(Gfp.KERNEL);
    machine.pages.freePages(machine.pages.allocPages(Gfp.KERNEL, 1), 1);
    expect(pcpField(machine, "flags")).toBe(1);
    machine.pages.freePage(pfn);
    expect(pcpField(machine, "flags")).toBe(0);
    setPcpField(machine, "flags", 0);
  });
});
