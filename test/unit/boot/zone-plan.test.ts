import { describe, expect, test } from "vitest";
import { type MemoryRange, ZONE_PRESETS, type ZoneLimits } from "../../../src/hardware/topology.ts";
import { planZones, presentIn, type ZonePlan } from "../../../src/mm/boot/zone-plan.ts";
import { ZONE_NAMES } from "../../../src/mm/pages/zone-index.ts";

const MIB_PAGES = 256;
const GIB_PAGES = 1024 * MIB_PAGES;

function plan(
  ranges: readonly MemoryRange[],
  more: { limits?: ZoneLimits; kernelcorePages?: number; movablecorePages?: number } = {},
): ZonePlan {
  return planZones({
    ranges,
    nodes: Math.max(...ranges.map((r) => r.node)) + 1,
    limits: ZONE_PRESETS["x86-64"],
    kernelcorePages: 0,
    movablecorePages: 0,
    ...more,
  });
}

const range = (startPfn: number, pages: number, node = 0): MemoryRange => ({
  startPfn,
  endPfn: startPfn + pages,
  node,
});

/** `name start spanned present` of each zone of a node. */
const zonesOf = ({ nodes }: ZonePlan, node = 0) =>
  nodes[node].zones.map((z) => `${ZONE_NAMES[z.index]} ${z.startPfn} ${z.spanned} ${z.present}`);

describe("zones", () => {
  test("of a PC with memory above 4 GiB are three, and a hole belongs to the span around it", () => {
    const pc = plan([range(1, 158), range(256, 3 * GIB_PAGES - 256), range(4 * GIB_PAGES, GIB_PAGES)]);
    expect(zonesOf(pc)).toEqual([
      "DMA 1 4095 3998",
      `DMA32 4096 ${4 * GIB_PAGES - 4096} ${3 * GIB_PAGES - 4096}`,
      `Normal ${4 * GIB_PAGES} ${GIB_PAGES} ${GIB_PAGES}`,
    ]);
  });
  test("end with memory", () => {
    expect(zonesOf(plan([range(1, 4095)]))).toEqual(["DMA 1 4095 4095"]);
    expect(zonesOf(plan([range(1, 10)]))).toEqual(["DMA 1 10 10"]);
  });
  test("begin with a node's memory", () => {
    const two = plan([range(1, 8191), range(8192, 8192, 1)]);
    expect(zonesOf(two, 0)).toEqual(["DMA 1 4095 4095", "DMA32 4096 4096 4096"]);
    expect(zonesOf(two, 1)).toEqual(["DMA32 8192 8192 8192"]);
  });
  test("of nodes whose ranges alternate overlap in span, not in memory", () => {
    const mixed = plan([range(4096, 1024, 0), range(5120, 1024, 1), range(6144, 1024, 0)]);
    expect(zonesOf(mixed, 0)).toEqual(["DMA32 4096 3072 2048"]);
    expect(zonesOf(mixed, 1)).toEqual(["DMA32 5120 1024 1024"]);
  });
  test("do not exist on a node without memory", () => {
    const gap = planZones({
      ranges: [range(1, 4095, 1)],
      nodes: 3,
      limits: ZONE_PRESETS["x86-64"],
      kernelcorePages: 0,
      movablecorePages: 0,
    });
    expect(gap.nodes.map((node) => [node.present, node.zones.length])).toEqual([
      [0, 0],
      [4095, 1],
      [0, 0],
    ]);
  });
  test("of x86-32 are DMA, Normal and HighMem", () => {
    const pc = plan([range(1, 2 * GIB_PAGES - 1)], { limits: ZONE_PRESETS["x86-32"] });
    expect(zonesOf(pc)).toEqual([
      "DMA 1 4095 4095",
      `Normal 4096 ${896 * MIB_PAGES - 4096} ${896 * MIB_PAGES - 4096}`,
      `HighMem ${896 * MIB_PAGES} ${1152 * MIB_PAGES} ${1152 * MIB_PAGES}`,
    ]);
  });
  test("begin where memory does, when all of it lies above the low limits", () => {
    const high = plan([range(4 * GIB_PAGES, MIB_PAGES)]);
    expect(zonesOf(high)).toEqual([`Normal ${4 * GIB_PAGES} 256 256`]);
    expect(high.bounds.slice(0, 3).map((b) => b.high - b.low)).toEqual([0, 0, MIB_PAGES]);
  });
});

describe("ZONE_MOVABLE", () => {
  const flat = [range(0, 64 * MIB_PAGES)];
  test("takes what kernelcore leaves, from a border of the largest block", () => {
    const cut = plan(flat, { kernelcorePages: 40 * MIB_PAGES + 1 });
    expect(cut.movableStart).toEqual([44 * MIB_PAGES]);
    expect(zonesOf(cut)).toEqual(["DMA 0 4096 4096", "DMA32 4096 7168 7168", "Movable 11264 5120 5120"]);
  });
  test("takes movablecore, rounded up", () => {
    expect(plan(flat, { movablecorePages: 10 * MIB_PAGES }).movableStart).toEqual([52 * MIB_PAGES]);
    expect(plan(flat, { movablecorePages: 1 }).movableStart).toEqual([60 * MIB_PAGES]);
  });
  test("takes the smaller of both wishes", () => {
    const both = plan(flat, { kernelcorePages: 56 * MIB_PAGES, movablecorePages: 32 * MIB_PAGES });
    expect(both.movableStart).toEqual([56 * MIB_PAGES]);
  });
  test("is cut from the highest zone only", () => {
    expect(plan(flat, { kernelcorePages: MIB_PAGES }).movableStart).toEqual([16 * MIB_PAGES]);
    expect(plan(flat, { movablecorePages: 64 * MIB_PAGES }).movableStart).toEqual([0]);
  });
  test("does not exist when the kernel gets all", () => {
    expect(plan(flat, { kernelcorePages: 64 * MIB_PAGES }).movableStart).toEqual([0]);
    expect(plan(flat, { kernelcorePages: 63 * MIB_PAGES }).movableStart).toEqual([0]);
  });
  test("has an even share of each node, and small nodes' rest falls to the others", () => {
    const even = plan([range(8192, 8192, 0), range(16_384, 8192, 1)], { kernelcorePages: 8192 });
    expect(even.movableStart).toEqual([12_288, 20_480]);
    const uneven = plan([range(8192, 1024, 0), range(9216, 15_360, 1)], { kernelcorePages: 8192 });
    expect(uneven.movableStart).toEqual([0, 9216 + 7168]);
  });
  test("begins in a node's second range when the first is the kernel's", () => {
    const split = plan([range(4096, 2048), range(8192, 8192)], { kernelcorePages: 4096 });
    expect(split.movableStart).toEqual([10_240]);
    expect(zonesOf(split)).toEqual(["DMA32 4096 6144 4096", "Movable 10240 6144 6144"]);
  });
});

test("presentIn counts frames of ranges inside bounds", () => {
  const ranges = [range(10, 10), range(30, 10)];
  expect([presentIn(ranges, 0, 100), presentIn(ranges, 15, 35), presentIn(ranges, 20, 30)]).toEqual([
    20, 10, 0,
  ]);
});
