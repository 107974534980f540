import { describe, expect, test } from "vitest";
import { NodeStat, ZoneStat } from "../../../src/mm/pages/counters.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { Node } from "../../../src/mm/pages/node.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { Zone } from "../../../src/mm/pages/zone.ts";
import { take } from "../../support/free-lists.ts";
import { type PageFixture, pageFixture } from "../../support/page-fixture.ts";

const DMA_AND_NORMAL: Parameters<typeof pageFixture>[0] = {
  cpus: 2,
  zones: [
    { startPfn: 64, pages: 448, index: 0, min: 8 },
    { startPfn: 512, pages: 1024, index: 2, min: 40 },
  ],
};

function exhausted(options = DMA_AND_NORMAL): PageFixture {
  const machine = pageFixture(options);
  while (machine.pages.allocPages(Gfp.ATOMIC | GfpFlag.NOWARN, 0) !== 0) {}
  machine.reports.length = 0;
  return machine;
}

test("the report is the kernel's, line by line", () => {
  const machine = exhausted();
  const { memory, zones, pages } = machine;
  memory.write(zones[1] + Zone.lowmemReserve + 2, 0);
  memory.write(zones[0] + Zone.lowmemReserve + 2, 1024);
  pages.vmstat.modNode(pages.frames.nodeAt(0), NodeStat.nr_inactive_anon, 12);
  pages.vmstat.modZone(zones[1], ZoneStat.nr_zone_inactive_anon, 12);
  memory.write(pages.frames.nodeAt(0) + Node.kswapdFailures, 16);
  expect(pages.allocPages(Gfp.ATOMIC, 3)).toBe(0);
  const [text] = machine.reports;
  const lines = text.split("\n");
  expect(lines[0]).toBe(
    "swapper/0: page allocation failure: order:3, mode:0x820(GFP_ATOMIC), nodemask=(null)",
  );
  expect(lines[1]).toBe("CPU: 0");
  expect(lines[2]).toBe("Mem-Info:");
  expect(lines[3]).toBe("active_anon:0 inactive_anon:12 isolated_anon:0");
  expect(lines[10]).toMatch(/^ free:\d+ free_pcp:\d+ free_cma:0$/);
  expect(lines[11]).toMatch(
    /^Node 0 active_anon:0kB inactive_anon:48kB active_file:0kB .* all_unreclaimable\? yes$/,
  );
  expect(lines[12]).toMatch(
    /^Node 0 DMA free:\d+kB boost:0kB min:32kB low:40kB high:48kB reserved_highatomic:0KB active_anon:0kB .* present:1792kB managed:1792kB mlocked:0kB bounce:0kB free_pcp:\d+kB local_pcp:\d+kB free_cma:0kB$/,
  );
  expect(lines[13]).toBe("lowmem_reserve[]: 0 0 1024 0 0 0");
  expect(lines[14]).toMatch(/^Node 0 Normal free:\d+kB .* inactive_anon:48kB/);
  expect(lines[16]).toMatch(/^Node 0 DMA: (\d+\*\d+kB (\([UMEHCI]+\) )?){11}= \d+kB$/);
  expect(lines[18]).toBe("0 total pagecache pages");
  expect(lines.slice(19)).toEqual(["1472 pages RAM", "0 pages HighMem/MovableOnly", "0 pages reserved"]);
});

test("free blocks are counted by order, with the letters of their types", () => {
  const machine = pageFixture({ zones: [{ startPfn: 1024, pages: 1024, min: 2000 }] });
  take(machine, 0);
  machine.pages.buddy.convertBlock(machine.zones[0], 1536, 1, 2);
  machine.pages.allocPages(Gfp.NOWAIT & ~GfpFlag.NOWARN, 0);
  expect(machine.reports[0]).toContain(
    "Node 0 Normal: 1*4kB (M) 1*8kB (M) 1*16kB (M) 1*32kB (M) 1*64kB (M) 1*128kB (M) 1*256kB (M) 1*512kB (M) " +
      "1*1024kB (M) 1*2048kB (E) 0*4096kB = 4092kB",
  );
});

describe("the report", () => {
  test("is silent with __GFP_NOWARN", () => {
    const machine = exhausted();
    expect(machine.pages.allocPages(Gfp.ATOMIC | GfpFlag.NOWARN, 3)).toBe(0);
    expect(machine.reports).toEqual([]);
  });

  test("names the nodes that were allowed", () => {
    const machine = exhausted();
    const mask = 0b101101;
    expect(machine.pages.allocPagesMask(Gfp.ATOMIC, 3, 0, mask)).toBe(0);
    expect(machine.reports[0]).toContain("nodemask=0,2-3,5");
  });

  test("leaves out zones above what the request could use", () => {
    const machine = exhausted();
    expect(machine.pages.allocPages(Gfp.DMA | Gfp.ATOMIC, 4)).toBe(0);
    expect(machine.reports[0]).toContain("Node 0 DMA free:");
    expect(machine.reports[0]).not.toContain("Node 0 Normal free:");
    expect(machine.reports[0]).toContain("1472 pages RAM");
  });

  test("comes ten times in five seconds, then says how many it left out", () => {
    const machine = exhausted();
    const { memory, pages, cpus } = machine;
    for (let i = 0; i < 25; i++) pages.allocPages(Gfp.ATOMIC, 3);
    expect(machine.reports).toHaveLength(10);
    const begin = pages.frames.globals + PageGlobals.warnBeginNs;
    memory.writeFloat64(begin, cpus[0].nowNs() - 6e9);
    pages.allocPages(Gfp.ATOMIC, 3);
    expect(machine.reports).toHaveLength(11);
    expect(machine.reports[10]).toMatch(
      /^warn_alloc: 15 callbacks suppressed\nswapper\/0: page allocation failure/,
    );
  });

  test("is dropped while another CPU prints one", () => {
    const machine = exhausted();
    machine.memory.store(machine.pages.frames.globals + PageGlobals.warnLock, 1);
    machine.pages.allocPages(Gfp.ATOMIC, 3);
    expect(machine.reports).toEqual([]);
  });

  test("says that an order above the maximum can never be had", () => {
    const machine = exhausted();
    expect(machine.pages.allocPages(Gfp.KERNEL, 11)).toBe(0);
    expect(machine.pages.allocPages(Gfp.KERNEL | GfpFlag.NOWARN, 11)).toBe(0);
    expect(machine.reports).toEqual(["WARNING: alloc_pages: order 11 is above MAX_PAGE_ORDER 10"]);
  });
});
