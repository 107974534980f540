import { describe, expect, test } from "vitest";
import { Regions } from "../../../src/memory/regions.ts";
import { layoutOf, wordsIn } from "../../../src/memory/struct.ts";
import { NODE_WORDS, Node } from "../../../src/mm/pages/node.ts";
import { PAGE_LINKS, PAGE_WORDS, Page, PageType, pagePfn, pageRef } from "../../../src/mm/pages/page.ts";
import { formatPageFlags, PageFlag, ZONE_SHIFT, ZONE_SLOTS } from "../../../src/mm/pages/page-flags.ts";
import {
  AllocatedPage,
  AnonPage,
  FilePage,
  PageTablePage,
  SlabPage,
  TailPage,
} from "../../../src/mm/pages/page-overlays.ts";
import {
  PCP_LISTS,
  pcpAllowedOrder,
  pcpListIndex,
  pcpListOrder,
} from "../../../src/mm/pages/per-cpu-pages.ts";
import { ZONE_WORDS, Zone } from "../../../src/mm/pages/zone.ts";

describe("struct page", () => {
  test("is one cache line, 1.56 % of the memory that it describes", () => {
    expect(wordsIn(Page)).toBe(16);
    expect((PAGE_WORDS * 4) / 4096).toBe(1 / 64);
  });

  test("has an overlay for every type but NONE, links first, all within the line", () => {
    const overlays = layoutOf(Page).overlays;
    const { NONE, ...types } = PageType;
    expect([...overlays.keys()].sort((a, b) => a - b)).toEqual(Object.values(types).sort((a, b) => a - b));
    expect(overlays.has(NONE)).toBe(false);
    for (const overlay of [AllocatedPage, SlabPage, PageTablePage, AnonPage, FilePage]) {
      expect(overlay.next).toBe(PAGE_LINKS);
      expect(overlay.prev).toBe(PAGE_LINKS + 1);
    }
    expect(TailPage.head).toBe(PAGE_LINKS);
    expect(AnonPage.index % 2).toBe(0);
  });

  test("names a word by what the frame is", () => {
    const regions = new Regions();
    regions.add("mem_map", 1000, Page, 4);
    const words = new Map<number, number>();
    const read = (address: number): number => words.get(address) ?? 0;
    const page = pageRef(1000, 2);
    expect(pagePfn(1000, page)).toBe(2);
    expect(regions.describe(page + Page.refcount, read)).toBe("mem_map[2].refcount");
    words.set(page + Page.type, PageType.SLAB | (3 << 8));
    expect(regions.find(page + SlabPage.counters, read)?.layout.name).toBe("page.slab");
    words.set(page + Page.buddy, 5);
    expect(regions.find(page + PAGE_LINKS, read)?.layout.name).toBe("page.buddy");
  });

  test("flags print as names with node and zone", () => {
    const flags = PageFlag.UPTODATE | PageFlag.LRU | ((1 * ZONE_SLOTS + 2) << ZONE_SHIFT);
    expect(formatPageFlags(flags)).toBe("0x28000028(uptodate|lru|node=1|zone=2)");
    expect(formatPageFlags(63 << ZONE_SHIFT)).toBe("0xfc000000(node=7|zone=7)");
  });
});

test("zones and nodes are whole cache lines, with the lock away from what every allocation reads", () => {
  expect(ZONE_WORDS % 16).toBe(0);
  expect(NODE_WORDS % 16).toBe(0);
  expect(Zone.lock % 16).toBe(0);
  expect(Zone.stat % 16).toBe(0);
  expect(Zone.lock).toBeGreaterThan(Zone.lowmemReserve);
  expect(Node.lruLock).toBeGreaterThan(Node.fallback);
});

test("the page lists: orders 0 to 3 of three types, and two for order 9", () => {
  expect(PCP_LISTS).toBe(14);
  const seen = new Set<number>();
  for (const order of [0, 1, 2, 3]) {
    for (const type of [0, 1, 2]) {
      const index = pcpListIndex(type, order);
      expect(pcpListOrder(index)).toBe(order);
      seen.add(index);
    }
  }
  expect(pcpListIndex(1, 9)).toBe(13);
  expect(pcpListIndex(0, 9)).toBe(12);
  expect(pcpListIndex(2, 9)).toBe(12);
  expect(pcpListOrder(12)).toBe(9);
  expect(seen.size).toBe(12);
  expect([0, 1, 2, 3, 4, 8, 9, 10].filter(pcpAllowedOrder)).toEqual([0, 1, 2, 3, 9]);
});
