import { describe, expect, test } from "vitest";
import { FREE_AREA_WORDS, FreeArea } from "../../../src/mm/pages/free-area.ts";
import { MigrateType, ORDERS } from "../../../src/mm/pages/migrate-types.ts";
import { PAGE_LINKS, Page } from "../../../src/mm/pages/page.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { counts, give, listed, take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const { UNMOVABLE, MOVABLE, CMA, ISOLATE, HIGHATOMIC } = MigrateType;

/** One zone of frames 1024 to 3071: two blocks of the top order. */
const twoBlocks = (): PageFixture => pageFixture({ zones: [{ startPfn: 1024, pages: 2048 }] });

describe("splitting", () => {
  test("gives the lower end and puts each upper half at the head of its list", () => {
    const machine = twoBlocks();
    expect(listed(machine, 10)).toEqual([1024, 2048]);
    expect(take(machine, 0)).toBe(1024);
    expect(counts(machine)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    for (let order = 0; order < 10; order++) expect(listed(machine, order)).toEqual([1024 + (1 << order)]);
    expect(machine.check()).toBe(2047);
  });

  test("uses the smallest block that suffices, the first of its list", () => {
    const machine = twoBlocks();
    const [a, b] = [take(machine, 3), take(machine, 3)];
    expect([a, b]).toEqual([1024, 1032]);
    give(machine, a, 3);
    expect(take(machine, 2)).toBe(1024);
    expect(take(machine, 2)).toBe(1028);
  });

  test("is 0 when no list of the type has a block", () => {
    const machine = twoBlocks();
    expect(take(machine, 0, UNMOVABLE)).toBe(0);
    expect(take(machine, 10)).toBe(1024);
    expect(take(machine, 10)).toBe(2048);
    expect(take(machine, 0)).toBe(0);
    expect(machine.check()).toBe(0);
  });
});

describe("merging", () => {
  test("goes as far as there are free buddies, in whatever order blocks come back", () => {
    const machine = twoBlocks();
    const pfns = Array.from({ length: 64 }, () => take(machine, 5));
    expect(counts(machine)).toEqual(new Array(ORDERS).fill(0));
    for (let i = 0; i < 64; i += 2) give(machine, pfns[i], 5);
    expect(counts(machine)[5]).toBe(32);
    for (let i = 63; i > 0; i -= 2) give(machine, pfns[i], 5);
    expect(counts(machine)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    expect(machine.check()).toBe(2048);
  });

  test("stops at the ends of the zone", () => {
    const machine = pageFixture({ zones: [{ startPfn: 1024 + 8, pages: 16 }] });
    expect(counts(machine)).toEqual([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    expect(machine.check()).toBe(16);
  });

  test("never joins blocks of two zones, though their frames are buddies", () => {
    const machine = pageFixture({
      zones: [
        { startPfn: 1024, pages: 512, index: 1 },
        { startPfn: 1536, pages: 512, index: 2 },
      ],
    });
    expect(machine.pages.buddy.blocks(machine.zones[0], 9)).toBe(1);
    expect(machine.pages.buddy.blocks(machine.zones[1], 9)).toBe(1);
    expect(machine.check()).toBe(1024);
  });

  test("puts a block last when the next higher buddy is free, since it will soon be part of more", () => {
    const machine = twoBlocks();
    const pfns = Array.from({ length: 8 }, () => take(machine, 0));
    // 1026|1027 is free as a block of order 1; then 1024 comes back while 1025 is held.
    give(machine, pfns[2], 0);
    give(machine, pfns[3], 0);
    give(machine, pfns[7], 0);
    give(machine, pfns[0], 0);
    expect(listed(machine, 0)).toEqual([1031, 1024]);
    // Without a free block beside it, it goes first.
    give(machine, pfns[5], 0);
    expect(listed(machine, 0)).toEqual([1029, 1031, 1024]);
  });

  test("can be told to put a block last", () => {
    const machine = twoBlocks();
    const pfns = Array.from({ length: 6 }, () => take(machine, 0));
    give(machine, pfns[1], 0);
    give(machine, pfns[5], 0, true);
    expect(listed(machine, 0)).toEqual([1025, 1029]);
  });

  test("above pageblock size joins ordinary types, which become one", () => {
    const machine = twoBlocks();
    const [a, b] = [take(machine, 9), take(machine, 9)];
    machine.pages.frames.setBlockType(a, UNMOVABLE);
    give(machine, a, 9);
    give(machine, b, 9);
    expect(listed(machine, 10)).toEqual([1024, 2048]);
    expect(machine.pages.frames.blockType(a)).toBe(MOVABLE);
    machine.check();
  });

  test.each([
    ["CMA", CMA],
    ["ISOLATE", ISOLATE],
    ["HIGHATOMIC", HIGHATOMIC],
  ])("above pageblock size leaves %s blocks apart", (_name, type) => {
    const machine = twoBlocks();
    const [a, b] = [take(machine, 9), take(machine, 9)];
    machine.pages.frames.setBlockType(a, type);
    give(machine, b, 9);
    give(machine, a, 9);
    expect(listed(machine, 9, type)).toEqual([a]);
    expect(listed(machine, 9)).toEqual([b]);
    expect(machine.check()).toBe(2048);
  });
});

describe("counting", () => {
  test("isolated pages are not free pages; CMA and HIGHATOMIC ones are counted apart", () => {
    const machine = twoBlocks();
    const { memory, zones, pages } = machine;
    const free = (): number => pages.vmstat.zoneStateSnapshot(zones[0], 0);
    const [a, b, c] = [take(machine, 9), take(machine, 9), take(machine, 9)];
    expect(free()).toBe(512);
    pages.frames.setBlockType(a, ISOLATE);
    pages.frames.setBlockType(b, CMA);
    pages.frames.setBlockType(c, HIGHATOMIC);
    for (const pfn of [a, b, c]) give(machine, pfn, 9);
    expect(free()).toBe(512 + 1024);
    expect(pages.vmstat.zoneStateSnapshot(zones[0], 10)).toBe(512);
    expect(memory.read(zones[0] + Zone.nrFreeHighatomic)).toBe(512);
    machine.check();
    pages.buddy.convertBlock(zones[0], a, ISOLATE, MOVABLE);
    pages.buddy.convertBlock(zones[0], b, CMA, ISOLATE);
    expect(free()).toBe(512 + 1024);
    expect(pages.vmstat.zoneStateSnapshot(zones[0], 10)).toBe(0);
    machine.check();
  });

  test("converting a pageblock moves all its free blocks and nothing else", () => {
    const machine = twoBlocks();
    const held = Array.from({ length: 5 }, () => take(machine, 0));
    give(machine, held[1], 0);
    const moved = machine.pages.buddy.convertBlock(machine.zones[0], 1024, MOVABLE, UNMOVABLE);
    expect(moved).toBe(512 - 4);
    expect(listed(machine, 8, UNMOVABLE)).toEqual([1024 + 256]);
    expect(listed(machine, 9, MOVABLE)).toEqual([1536]);
    expect(listed(machine, 9, UNMOVABLE)).toEqual([]);
    expect(machine.check()).toBe(2048 - 4);
  });
});

describe("the check finds", () => {
  const broken: readonly [what: string, harm: (machine: PageFixture) => void, message: string][] = [
    [
      "a wrong count of free pages",
      (m) => m.pages.vmstat.modZone(m.zones[0], 0, 1),
      "B1 node 0 zone Normal: 2048 pages are free, nr_free_pages says 2049",
    ],
    [
      "a wrong count of CMA pages",
      (m) => m.pages.vmstat.modZone(m.zones[0], 10, 3),
      "B1 node 0 zone Normal: 0 CMA pages are free, nr_free_cma says 3",
    ],
    [
      "a wrong count of HIGHATOMIC pages",
      (m) => m.memory.write(m.zones[0] + Zone.nrFreeHighatomic, 4),
      "B1 node 0 zone Normal: 0 HIGHATOMIC pages are free, the zone says 4",
    ],
    [
      "buddies that should have merged",
      (m) => {
        const [a, b] = [take(m, 9), take(m, 9)];
        // b's buddy is hidden while b comes back.
        give(m, a, 9);
        const word = m.memory.read(m.pages.frames.pageOf(a) + Page.buddy);
        m.memory.write(m.pages.frames.pageOf(a) + Page.buddy, 0);
        give(m, b, 9);
        m.memory.write(m.pages.frames.pageOf(a) + Page.buddy, word);
      },
      "B2 node 0 zone Normal block 1536 of order 9: its buddy 1024 is free too",
    ],
    [
      "a block on the wrong type's list",
      (m) => m.pages.frames.setBlockType(1024, UNMOVABLE),
      "B3 node 0 zone Normal block 1024 of order 10: on the list of type 1, its pageblock has type 0",
    ],
    [
      "a block whose head says nothing",
      (m) => m.memory.write(m.pages.frames.pageOf(1024) + Page.buddy, 0),
      "B4 node 0 zone Normal block 1024 of order 10: its buddy word is 0x0",
    ],
    [
      "a block inside a block",
      (m) => m.memory.write(m.pages.frames.pageOf(1030) + Page.buddy, 0x201),
      "B4 node 0 zone Normal block 1024 of order 10: frame 1030 heads a free block inside it",
    ],
    [
      "a block outside its zone",
      (m) => m.memory.write(m.zones[0] + Zone.spannedPages, 2047),
      "B4 node 0 zone Normal block 2048 of order 10: outside its zone",
    ],
    [
      "a wrong number of blocks",
      (m) => {
        const at = m.zones[0] + Zone.freeArea + 3 * FREE_AREA_WORDS + FreeArea.nrFree;
        m.memory.write(at, 1);
      },
      "B5 node 0 zone Normal: order 3 has 0 blocks, nr_free says 1",
    ],
    [
      "a free frame that is in use",
      (m) => m.memory.write(m.pages.frames.pageOf(1100) + Page.refcount, 1),
      "B6 node 0 zone Normal block 1024 of order 10: frame 1100 has refcount 1, mapcount -1, flags 0, type 0",
    ],
  ];
  test.each(broken)("%s", (_what, harm, message) => {
    const machine = twoBlocks();
    harm(machine);
    expect(() => machine.check()).toThrow(message);
  });

  test("a block at a frame that is no multiple of its size", () => {
    const machine = twoBlocks();
    const { memory, pages, zones } = machine;
    take(machine, 10);
    // A block of order 2 that claims order 3.
    const pfn = take(machine, 2);
    give(machine, pfn, 2);
    const odd = take(machine, 2);
    const page = pages.frames.pageOf(odd + 4);
    const tag = memory.read(zones[0] + Zone.buddyTag);
    pages.buddy.takeSmallest(zones[0], 2, MOVABLE);
    pages.buddy.freeBlock(zones[0], odd + 4, 2, MOVABLE, false);
    const area = (order: number): number => zones[0] + Zone.freeArea + order * FREE_AREA_WORDS;
    pages.buddy.moveToType(zones[0], page, 3, MOVABLE, MOVABLE);
    memory.write(page + Page.buddy, tag | 4);
    memory.write(area(2) + FreeArea.nrFree, memory.read(area(2) + FreeArea.nrFree) - 1);
    memory.write(area(3) + FreeArea.nrFree, memory.read(area(3) + FreeArea.nrFree) + 1);
    expect(() => machine.check()).toThrow(
      `B4 node 0 zone Normal block ${odd + 4} of order 3: its frame is not a multiple of its size`,
    );
  });

  test("list links that disagree, and lists that run in a circle", () => {
    const machine = twoBlocks();
    const first = machine.pages.frames.pageOf(1024) + PAGE_LINKS;
    machine.memory.write(first + 1, first);
    expect(() => machine.check()).toThrow(`entry ${first} has prev ${first}`);
    const circle = twoBlocks();
    const [a, b] = [1024, 2048].map((pfn) => circle.pages.frames.pageOf(pfn) + PAGE_LINKS);
    circle.memory.write(b, a);
    circle.memory.write(a + 1, b);
    expect(() => circle.check()).toThrow(/has prev|run in a circle/);
  });
});
