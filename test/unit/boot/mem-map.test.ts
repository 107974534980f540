import { describe, expect, test } from "vitest";
import { checkBoot } from "../../../src/mm/boot/boot-check.ts";
import { planMemMap } from "../../../src/mm/boot/mem-map.ts";
import { checkPages } from "../../../src/mm/pages/check-pages.ts";
import { Page, PageType } from "../../../src/mm/pages/page.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { bootOnly } from "../../support/boot.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const pfn = (bytes: number) => bytes / 4096;
const range = (start: number, size: number, node = 0) => ({
  startPfn: pfn(start),
  endPfn: pfn(start + size),
  node,
});

describe("where mem_map lies", () => {
  test("in memory on one node without large holes", () => {
    const plan = planMemMap([range(4096, 636 * 1024), range(MIB, 255 * MIB)], 1);
    expect(plan).toEqual({ frames: 65_536, bytes: 4 * MIB, windowPfn: 0, ramBytes: 256 * MIB });
  });
  test("covers frames up to a border of the largest block", () => {
    expect(planMemMap([range(4096, 5 * MIB)], 1).frames).toBe(2048);
  });
  test("beyond memory with several nodes", () => {
    const plan = planMemMap([range(0, 64 * MIB), range(64 * MIB, 64 * MIB, 1)], 2);
    expect([plan.windowPfn, plan.ramBytes]).toEqual([pfn(128 * MIB), 130 * MIB]);
  });
  test("beyond memory with a large hole", () => {
    const plan = planMemMap([range(0, 64 * MIB), range(4 * GIB, 64 * MIB)], 1);
    expect(plan.windowPfn).toBe(pfn(4 * GIB + 64 * MIB));
    expect(plan.ramBytes).toBe(4 * GIB + 64 * MIB + plan.bytes);
  });
  test("in the largest hole when no pointer reaches beyond memory", () => {
    const plan = planMemMap([range(0, GIB), range(2 * GIB, GIB), range(6 * GIB, 2 * GIB)], 1);
    expect([plan.windowPfn, plan.ramBytes]).toEqual([pfn(3 * GIB), 8 * GIB]);
  });
  test("in memory after all when no hole has room", () => {
    const plan = planMemMap([range(0, 4 * GIB), range(4 * GIB, 4 * GIB, 1)], 2);
    expect([plan.windowPfn, plan.ramBytes]).toEqual([0, 8 * GIB]);
  });
});

test("8 GiB boot, with the window in the hole below 4 GiB and without any window", () => {
  const holed = bootOnly({ cpus: 2, nodes: 2, memoryBytes: 7 * GIB });
  expect(holed.record.windowPfn).toBe(pfn(3 * GIB));
  const dense = bootOnly({ cpus: 2, nodes: 2, memoryBytes: 8 * GIB });
  expect(dense.record.windowPfn).toBe(0);
  for (const booted of [holed, dense]) {
    const { frames, vmstat } = booted.allocators[0];
    expect(checkPages(frames, vmstat)).toBe(
      booted.memory.read(booted.mm.globals.address + PageGlobals.totalRamPages),
    );
    checkBoot(booted.memory, booted.mm);
  }
});

test("structures of holes are written only beside memory", () => {
  const booted = bootOnly({
    cpus: 1,
    memoryMap: [
      { startBytes: 0, sizeBytes: 4 * MIB + 4096, node: 0 },
      { startBytes: 64 * MIB - 4096, sizeBytes: MIB, node: 0 },
    ],
  });
  const { frames } = booted.allocators[0];
  const typeOf = (frame: number) => booted.memory.read(frames.pageOf(frame) + Page.type);
  const mapcountOf = (frame: number) => booted.memory.read(frames.pageOf(frame) + Page.mapcount);
  // 1025 frames, then a hole to the end of their pageblock at 1536; memory again from frame 16383.
  expect([1025, 1535, 15_872, 16_382].map(typeOf)).toEqual(new Array(4).fill(PageType.RESERVED));
  expect([1536, 15_871].map((frame) => [typeOf(frame), mapcountOf(frame)])).toEqual([
    [PageType.NONE, 0],
    [PageType.NONE, 0],
  ]);
});
