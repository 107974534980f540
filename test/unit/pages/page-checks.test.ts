import { describe, expect, test } from "vitest";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { Page, PageType } from "../../../src/mm/pages/page.ts";
import { describePage } from "../../../src/mm/pages/page-checks.ts";
import { PageFlag, ZONE_SHIFT } from "../../../src/mm/pages/page-flags.ts";
import { TailPage } from "../../../src/mm/pages/page-overlays.ts";
import { take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const machineOf = (): PageFixture => pageFixture({ zones: [{ startPfn: 1024, pages: 1024 }] });
const alloc = (m: PageFixture, order = 0, gfp: number = Gfp.KERNEL): number => m.pages.allocPages(gfp, order);
const pageOf = (m: PageFixture, pfn: number): number => m.pages.frames.pageOf(pfn);
const setType = (m: PageFixture, pfn: number, type: number): void => m.pages.setPageType(pfn, type);

type Misuse = readonly [what: string, commit: (m: PageFixture) => void, message: string | RegExp];

const frees: readonly Misuse[] = [
  [
    "twice, while the page is on a page list",
    (m) => {
      const pfn = alloc(m);
      m.pages.freePage(pfn);
      m.pages.freePage(pfn);
    },
    "double free: the page has no references",
  ],
  [
    "twice, while the page is in the buddy allocator",
    (m) => {
      const pfn = alloc(m, 5);
      m.pages.freePages(pfn, 5);
      m.pages.freePages(pfn, 5);
    },
    "double free: the page has no references",
  ],
  [
    "by somebody who took a reference to a free page",
    (m) => {
      const pfn = alloc(m);
      m.pages.freePage(pfn);
      m.memory.write(pageOf(m, pfn) + Page.refcount, 1);
      m.pages.freePage(pfn);
    },
    "double free: the page is on a per-CPU list",
  ],
  [
    "of a page that the buddy allocator has",
    (m) => {
      m.memory.write(pageOf(m, 1024) + Page.refcount, 1);
      m.pages.freePages(1024, 0);
    },
    "double free: the page is in the buddy",
  ],
  [
    "with too low an order",
    (m) => m.pages.freePages(alloc(m, 3), 2),
    "free of order 2, allocated with order 3",
  ],
  [
    "with too high an order",
    (m) => m.pages.freePages(alloc(m, 3), 4),
    "free of order 4, allocated with order 3",
  ],
  [
    "of a page inside a block",
    (m) => {
      const pfn = alloc(m, 2);
      m.memory.write(pageOf(m, pfn + 1) + Page.refcount, 1);
      m.pages.freePage(pfn + 1);
    },
    "free of a page that heads no allocated block",
  ],
  [
    "of a compound block's tail",
    (m) => {
      const pfn = alloc(m, 2, Gfp.KERNEL | GfpFlag.COMP);
      m.memory.write(pageOf(m, pfn + 1) + Page.refcount, 1);
      m.pages.freePage(pfn + 1);
    },
    "free of a tail page",
  ],
  [
    "of a reserved page",
    (m) => {
      const page = pageOf(m, 3);
      m.memory.write(page + Page.refcount, 1);
      m.memory.write(page + Page.type, PageType.RESERVED);
      m.pages.freePage(3);
    },
    "free of a reserved page",
  ],
  [
    "of a slab that was not made a plain page again",
    (m) => {
      const pfn = alloc(m);
      setType(m, pfn, PageType.SLAB);
      m.pages.freePage(pfn);
    },
    "page type slab not cleared",
  ],
  [
    "of a mapped page",
    (m) => {
      const pfn = alloc(m);
      m.memory.write(pageOf(m, pfn) + Page.mapcount, 0);
      m.pages.freePage(pfn);
    },
    "nonzero mapcount",
  ],
  [
    "of a locked page",
    (m) => {
      const pfn = alloc(m);
      m.memory.or(pageOf(m, pfn) + Page.flags, PageFlag.LOCKED);
      m.pages.freePage(pfn);
    },
    "PAGE_FLAGS_CHECK_AT_FREE flag(s) set",
  ],
  [
    "of a block with a reference to one of its tails",
    (m) => {
      const pfn = alloc(m, 2);
      m.memory.write(pageOf(m, pfn + 3) + Page.refcount, 1);
      m.pages.freePages(pfn, 2);
    },
    "nonzero _refcount",
  ],
  [
    "of a compound block with a foreign tail",
    (m) => {
      const pfn = alloc(m, 2, Gfp.KERNEL | GfpFlag.COMP);
      m.memory.write(pageOf(m, pfn + 3) + TailPage.head, pageOf(m, 1024));
      m.memory.write(pageOf(m, pfn + 3) + TailPage.head, pageOf(m, 1024 + 512));
      m.pages.freePages(pfn, 2);
    },
    "compound_head not consistent",
  ],
  [
    "of a compound block with a tail that says something else",
    (m) => {
      const pfn = alloc(m, 2, Gfp.KERNEL | GfpFlag.COMP);
      m.memory.write(pageOf(m, pfn + 3) + Page.type, PageType.NONE);
      m.pages.freePages(pfn, 2);
    },
    "corrupted type in tail page",
  ],
  [
    "of frame 0",
    (m) => m.pages.freePage(0),
    "free of frame 0 with order 0: frames are 1 to 2047, orders 0 to 10",
  ],
  ["beyond the last frame", (m) => m.pages.freePage(2048), /free of frame 2048 with order 0/],
  ["with an order above the maximum", (m) => m.pages.freePages(1024, 11), /free of frame 1024 with order 11/],
];

describe("a bad free is found at once:", () => {
  test.each(frees)("%s", (_what, commit, message) => {
    expect(() => commit(machineOf())).toThrow(message);
  });

  test("the report is the kernel's, with the page's state", () => {
    const m = machineOf();
    const pfn = alloc(m);
    m.pages.freePage(pfn);
    expect(() => m.pages.freePage(pfn)).toThrow(
      new RegExp(
        [
          "^BUG: Bad page state  pfn:00400",
          "page: refcount:-1 mapcount:0 pfn:0x400",
          "flags: 0x8000000\\(node=0\\|zone=2\\)",
          "page_type: 2\\(pcp\\) order:0",
          "raw: (\\w{8} ?){8}",
          "raw: (\\w{8} ?){8}",
          "page dumped because: double free: the page has no references$",
        ].join("\n"),
      ),
    );
  });
});

describe("a bad page is not given out:", () => {
  const spoils: readonly Misuse[] = [
    ["mapped", (m) => m.memory.write(pageOf(m, 1024) + Page.mapcount, 2), "nonzero mapcount"],
    ["referenced", (m) => m.memory.write(pageOf(m, 1024) + Page.refcount, 2), "nonzero _refcount"],
    [
      "flagged",
      (m) => m.memory.write(pageOf(m, 1024) + Page.flags, (2 << ZONE_SHIFT) | PageFlag.DIRTY),
      "PAGE_FLAGS_CHECK_AT_PREP flag(s) set",
    ],
  ];
  test.each(spoils)("%s", (_what, commit, message) => {
    const m = machineOf();
    commit(m);
    expect(() => alloc(m)).toThrow(message);
  });

  test("a tail, when all frames are checked", () => {
    const m = machineOf();
    m.memory.write(pageOf(m, 1030) + Page.refcount, 1);
    expect(() => alloc(m, 4)).toThrow("BUG: Bad page state  pfn:00406");
  });

  test("one that heads a free block", () => {
    const m = machineOf();
    const pfn = alloc(m);
    m.pages.freePage(pfn);
    m.memory.write(pageOf(m, pfn) + Page.buddy, 1);
    expect(() => alloc(m)).toThrow("page is on a free list");
  });
});

test("an anonymous page may be freed as it is", () => {
  const m = machineOf();
  const pfn = alloc(m, 0, Gfp.HIGHUSER_MOVABLE);
  setType(m, pfn, PageType.ANON);
  m.memory.or(pageOf(m, pfn) + Page.flags, PageFlag.UPTODATE | PageFlag.DIRTY | PageFlag.SWAPBACKED);
  m.pages.freePage(pfn);
  m.pages.drain.all();
  expect(m.check()).toBe(1024);
});

test("a page is described by type, order and flags", () => {
  const m = machineOf();
  const pfn = alloc(m, 3, Gfp.KERNEL | GfpFlag.COMP);
  const text = describePage(m.pages.frames, pageOf(m, pfn));
  expect(text).toContain("page_type: 3(allocated) order:3");
  expect(text).toContain("(head|node=0|zone=2)");
  expect(describePage(m.pages.frames, pageOf(m, take(m, 0) || 1025))).toContain("page_type: ");
});
