import { describe, expect, test } from "vitest";
import { FRAME_WORDS, frameOf, pfnOf } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { MigrateType } from "../../../src/mm/pages/migrate-types.ts";
import { Page, PageType } from "../../../src/mm/pages/page.ts";
import { PageFlag } from "../../../src/mm/pages/page-flags.ts";
import { TailPage } from "../../../src/mm/pages/page-overlays.ts";
import { Zone, ZoneFlag } from "../../../src/mm/pages/zone.ts";
import { pageLists, pcpField, take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const { NOWARN, THISNODE, COMP, ZERO } = GfpFlag;
const machineOf = (): PageFixture => pageFixture({ zones: [{ startPfn: 1024, pages: 2048 }] });

describe("allocation", () => {
  test("gives aligned blocks of every order with one reference", () => {
    const machine = machineOf();
    for (let order = 0; order <= 10; order++) {
      const pfn = machine.pages.allocPages(Gfp.KERNEL, order);
      expect(pfn % (1 << order)).toBe(0);
      expect(machine.pages.pageCount(pfn)).toBe(1);
      machine.pages.freePages(pfn, order);
    }
    machine.pages.drain.all();
    expect(machine.check()).toBe(2048);
  });

  test("zeroes what is asked to be zero, and nothing else", () => {
    const machine = machineOf();
    const { memory, pages } = machine;
    const pfn = pages.allocPages(Gfp.KERNEL, 1);
    memory.fill(frameOf(pfn), 2 * FRAME_WORDS, 0x5a5a);
    memory.write(frameOf(pfn + 2), 7);
    pages.freePages(pfn, 1);
    expect(pages.allocPages(Gfp.KERNEL, 1)).toBe(pfn);
    expect(memory.read(frameOf(pfn) + 5)).toBe(0x5a5a);
    pages.freePages(pfn, 1);
    expect(pages.allocPages(Gfp.KERNEL | ZERO | GfpFlag.SKIP_ZERO, 1)).toBe(pfn);
    expect(memory.read(frameOf(pfn) + 5)).toBe(0x5a5a);
    pages.freePages(pfn, 1);
    expect(pages.allocPages(Gfp.KERNEL | ZERO, 1)).toBe(pfn);
    for (let i = 0; i < 2 * FRAME_WORDS; i++) expect(memory.read(frameOf(pfn) + i)).toBe(0);
    expect(memory.read(frameOf(pfn + 2))).toBe(7);
  });

  test("by pointer", () => {
    const { pages, memory } = machineOf();
    const pointer = pages.getFreePages(Gfp.KERNEL, 2);
    expect(pages.pageAddress(pfnOf(pointer))).toBe(pointer);
    memory.write(pointer, 3);
    pages.freePagesAt(pointer, 2);
    pages.freePagesAt(0, 2);
    const zeroed = pages.getZeroedPage(Gfp.KERNEL);
    expect(memory.read(zeroed)).toBe(0);
    while (pages.getFreePages(Gfp.KERNEL | NOWARN, 10) !== 0) {}
    expect(pages.getFreePages(Gfp.KERNEL | NOWARN, 10)).toBe(0);
  });

  test("takes every page that there is, each once", () => {
    const machine = machineOf();
    const seen = new Set<number>();
    for (;;) {
      const pfn = machine.pages.allocPage(Gfp.KERNEL | NOWARN);
      if (pfn === 0) break;
      expect(seen.has(pfn)).toBe(false);
      seen.add(pfn);
    }
    expect(seen.size).toBe(2048);
    machine.check();
    for (const pfn of seen) machine.pages.freePage(pfn);
    expect(machine.check()).toBe(2048);
  });
});

describe("zones", () => {
  const dma = (reserve = 0): PageFixture => {
    const machine = pageFixture({
      zones: [
        { startPfn: 16, pages: 496, index: 0 },
        { startPfn: 512, pages: 512, index: 1 },
        { startPfn: 1024, pages: 512, index: 2 },
        { startPfn: 1536, pages: 512, index: 4 },
      ],
    });
    machine.memory.write(machine.zones[0] + Zone.lowmemReserve + 2, reserve);
    return machine;
  };
  const zoneOf = (machine: PageFixture, gfp: number): number => {
    const pfn = machine.pages.allocPages(gfp | NOWARN, 4);
    return machine.memory.read(machine.pages.frames.zoneOf(machine.pages.frames.pageOf(pfn)) + Zone.index);
  };

  test("are chosen by the modifiers, the highest first", () => {
    const machine = dma();
    expect(zoneOf(machine, Gfp.KERNEL)).toBe(2);
    expect(zoneOf(machine, Gfp.DMA)).toBe(0);
    expect(zoneOf(machine, Gfp.DMA32)).toBe(1);
    expect(zoneOf(machine, Gfp.HIGHUSER)).toBe(2);
    expect(zoneOf(machine, Gfp.HIGHUSER_MOVABLE)).toBe(4);
    expect(machine.pages.getDmaPages(Gfp.KERNEL, 0)).toBeLessThan(frameOf(512));
  });

  test("fall back to lower ones, but for what those keep", () => {
    const machine = dma();
    const zones: number[] = [];
    while (machine.pages.allocPages(Gfp.KERNEL | NOWARN, 4) !== 0) zones.push(0);
    expect(zones).toHaveLength((496 - 16 + 1024) / 16 + 1);
    const reserved = dma(10_000);
    let count = 0;
    while (reserved.pages.allocPages(Gfp.KERNEL | NOWARN, 4) !== 0) count++;
    expect(count).toBe(1024 / 16);
    expect(reserved.pages.allocPages(Gfp.DMA | NOWARN, 4)).toBeGreaterThan(0);
  });

  test("kernel memory rather goes to another zone than mixes with movable pages", () => {
    const machine = dma();
    const { pages } = machine;
    // The NORMAL zone has free movable pages in a block that is partly used.
    pages.freePages(pages.allocPages(Gfp.KERNEL | GfpFlag.MOVABLE, 0), 0);
    pages.drain.all();
    pages.allocPages(Gfp.KERNEL | GfpFlag.MOVABLE, 4);
    expect(zoneOf(machine, Gfp.KERNEL)).toBe(1);
  });

  test("one that is not above its high mark says so", () => {
    const machine = pageFixture({ zones: [{ startPfn: 1024, pages: 1024, min: 600 }] });
    machine.pages.allocPage(Gfp.KERNEL);
    expect(machine.memory.read(machine.zones[0] + Zone.flags)).toBe(0);
    take(machine, 8, MigrateType.UNMOVABLE);
    machine.pages.allocPage(Gfp.KERNEL);
    expect(machine.memory.read(machine.zones[0] + Zone.flags)).toBe(ZoneFlag.BELOW_HIGH);
  });

  test("one whose marks were boosted wakes kswapd at the next allocation, once", () => {
    const woken: number[] = [];
    const machine = pageFixture({
      zones: [{ startPfn: 1024, pages: 1024 }],
      hooks: { wakeKswapd: (zone) => void woken.push(zone) },
    });
    machine.memory.or(machine.zones[0] + Zone.flags, ZoneFlag.BOOSTED_WATERMARK);
    machine.pages.allocPage(GfpFlag.NOWARN);
    expect(woken).toEqual([]);
    machine.pages.allocPage(Gfp.KERNEL);
    machine.pages.allocPage(Gfp.KERNEL);
    expect(woken).toEqual([machine.zones[0]]);
  });
});

describe("nodes", () => {
  const twoNodes = (): PageFixture =>
    pageFixture({
      cpus: 2,
      zones: [
        { node: 0, startPfn: 1024, pages: 512 },
        { node: 1, startPfn: 1536, pages: 512 },
      ],
    });
  const nodeOf = ({ pages }: PageFixture, pfn: number): number =>
    pages.frames.nodeOf(pages.frames.pageOf(pfn));

  test("each CPU prefers its own", () => {
    const machine = twoNodes();
    expect(machine.allocators.map((pages) => nodeOf(machine, pages.allocPage(Gfp.KERNEL)))).toEqual([0, 1]);
  });

  test("a node can be named; the other helps out unless __GFP_THISNODE", () => {
    const machine = twoNodes();
    const { pages } = machine;
    for (let i = 0; i < 32; i++) expect(nodeOf(machine, pages.allocPagesNode(1, Gfp.KERNEL, 4))).toBe(1);
    expect(pages.allocPagesNode(1, Gfp.KERNEL | THISNODE | NOWARN, 4)).toBe(0);
    expect(nodeOf(machine, pages.allocPagesNode(1, Gfp.KERNEL, 4))).toBe(0);
  });

  test("a mask of nodes binds, but not who may have reserves", () => {
    const machine = twoNodes();
    const { pages } = machine;
    for (let i = 0; i < 32; i++) {
      expect(nodeOf(machine, pages.allocPagesMask(Gfp.KERNEL, 4, 0, 0b10))).toBe(1);
    }
    expect(pages.allocPagesMask(Gfp.KERNEL | NOWARN, 4, 0, 0b10)).toBe(0);
    expect(nodeOf(machine, pages.allocPagesMask(Gfp.ATOMIC, 4, 0, 0b10))).toBe(0);
    expect(pages.allocPagesMask(Gfp.KERNEL | NOWARN, 0, 0, 0b100)).toBe(0);
  });
});

describe("compound blocks", () => {
  test("every tail knows the head, and one put frees all", () => {
    const machine = machineOf();
    const { pages, memory } = machine;
    const pfn = pages.allocPages(Gfp.KERNEL | COMP, 3);
    const head = pages.frames.pageOf(pfn);
    expect(memory.read(head + Page.flags) & PageFlag.HEAD).not.toBe(0);
    expect(pages.compoundOrder(head)).toBe(3);
    for (let i = 1; i < 8; i++) {
      const tail = pages.frames.pageOf(pfn + i);
      expect(memory.read(tail + Page.type)).toBe(PageType.TAIL);
      expect(memory.read(tail + TailPage.head)).toBe(head);
    }
    pages.getPage(pfn);
    pages.putPage(pfn + 5);
    expect(pages.pageCount(pfn)).toBe(1);
    pages.putPage(pfn + 7);
    pages.drain.all();
    expect(machine.check()).toBe(2048);
  });

  test("of order 9 use the list for huge pages", () => {
    const machine = machineOf();
    const pfn = machine.pages.allocPages(Gfp.TRANSHUGE | GfpFlag.KSWAPD_RECLAIM, 9);
    machine.pages.freePages(pfn, 9);
    expect(pageLists(machine)[13]).toContain(pfn);
    machine.check();
  });
});

describe("references", () => {
  test("keep a page until the last is gone", () => {
    const machine = machineOf();
    const { pages } = machine;
    const pfn = pages.allocPage(Gfp.KERNEL);
    pages.getPage(pfn);
    expect(pages.tryGetPage(pfn)).toBe(true);
    pages.freePage(pfn);
    pages.putPage(pfn);
    expect(pages.pageCount(pfn)).toBe(1);
    pages.putPage(pfn);
    expect(pages.tryGetPage(pfn)).toBe(false);
    expect(() => pages.putPage(pfn)).toThrow("put_page of a free page");
    expect(() => pages.getPage(1500)).toThrow("get_page of a free page");
  });

  test("to the head of a plain block: the free of the block leaves the head to the other holder", () => {
    const machine = machineOf();
    const { pages } = machine;
    const pfn = pages.allocPages(Gfp.KERNEL, 3);
    pages.getPage(pfn);
    pages.freePages(pfn, 3);
    pages.drain.all();
    expect(machine.check()).toBe(2047);
    expect(pages.pageCount(pfn)).toBe(1);
    pages.putPage(pfn);
    pages.drain.all();
    expect(machine.check()).toBe(2048);
  });
});

test("a block can be split into pages that are freed one by one", () => {
  const machine = machineOf();
  const { pages } = machine;
  const pfn = pages.allocPages(Gfp.KERNEL, 3);
  pages.splitPage(pfn, 3);
  for (let i = 0; i < 8; i++) pages.freePage(pfn + i);
  pages.drain.all();
  expect(machine.check()).toBe(2048);
  const compound = pages.allocPages(Gfp.KERNEL | COMP, 3);
  expect(() => pages.splitPage(compound, 3)).toThrow("split_page of order 3");
  expect(() => pages.splitPage(pages.allocPages(Gfp.KERNEL, 2), 3)).toThrow("split_page of order 3");
});

describe("bulk", () => {
  test("takes many pages under one hold of the list's lock", () => {
    const machine = machineOf();
    const pfns: number[] = [];
    expect(machine.pages.allocPagesBulk(Gfp.KERNEL, 100, pfns)).toBe(100);
    expect(new Set(pfns).size).toBe(100);
    for (const pfn of pfns) expect(machine.pages.pageCount(pfn)).toBe(1);
    machine.check();
    for (const pfn of pfns) machine.pages.freePage(pfn);
    machine.pages.drain.all();
    expect(machine.check()).toBe(2048);
  });

  test("of none and of one", () => {
    const machine = machineOf();
    const pfns: number[] = [];
    expect(machine.pages.allocPagesBulk(Gfp.KERNEL, 0, pfns)).toBe(0);
    expect(machine.pages.allocPagesBulk(Gfp.KERNEL, 1, pfns)).toBe(1);
    expect(pfns).toHaveLength(1);
  });

  test("that would break the low mark gets one page, as any allocation", () => {
    const machine = pageFixture({ zones: [{ startPfn: 1024, pages: 512, min: 200 }] });
    const pfns: number[] = [];
    expect(machine.pages.allocPagesBulk(Gfp.KERNEL, 300, pfns)).toBe(1);
    expect(machine.pages.allocPagesBulk(Gfp.KERNEL, 100, pfns)).toBe(100);
  });

  test("ends when the zone is empty, and at 0 when there is nothing", () => {
    const machine = pageFixture({ zones: [{ startPfn: 1024, pages: 64 }] });
    const pfns: number[] = [];
    let got = 0;
    do {
      got = machine.pages.allocPagesBulk(Gfp.KERNEL | NOWARN, 50, pfns);
    } while (got > 0);
    expect(new Set(pfns).size).toBe(64);
  });

  test("whose list is locked gets one page from the zone", () => {
    const machine = machineOf();
    machine.memory.store(machine.pages.lists.listsOf(machine.zones[0], 0), 1);
    const pfns: number[] = [];
    expect(machine.pages.allocPagesBulk(Gfp.KERNEL, 10, pfns)).toBe(1);
    expect(pcpField(machine, "count")).toBe(0);
  });
});

test("pages keep the type that their pageblock has", () => {
  const machine = machineOf();
  const { pages } = machine;
  const kernel = pages.allocPage(Gfp.KERNEL);
  const movable = pages.allocPage(Gfp.HIGHUSER_MOVABLE);
  expect(pages.frames.blockType(kernel)).toBe(MigrateType.UNMOVABLE);
  expect(pages.frames.blockType(movable)).toBe(MigrateType.MOVABLE);
  expect(kernel >> 9).not.toBe(movable >> 9);
});
