/** Marks, reserves, list sizes and thresholds as boot leaves them in RAM, and after a tunable has changed. */

import { describe, expect, test } from "vitest";
import { setupLowmemReserves, setupMinFree, setupWatermarks } from "../../../src/mm/boot/reserves.ts";
import { pageListSizes, statThreshold } from "../../../src/mm/boot/sizing.ts";
import { Node } from "../../../src/mm/pages/node.ts";
import { PageGlobals } from "../../../src/mm/pages/page-globals.ts";
import { PcpFlag, PerCpuPages } from "../../../src/mm/pages/per-cpu-pages.ts";
import { PerCpuNodestat, PerCpuZonestat } from "../../../src/mm/pages/per-cpu-stats.ts";
import { Watermark, Zone } from "../../../src/mm/pages/zone.ts";
import { ZoneIndex } from "../../../src/mm/pages/zone-index.ts";
import { type Booted, bootOnly } from "../../support/boot.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const word = (booted: Booted, at: number) => booted.memory.read(at);
const globalAt = (booted: Booted, field: keyof typeof PageGlobals) =>
  booted.mm.globals.address + PageGlobals[field];
const marks = (booted: Booted, zone: number) =>
  [Watermark.MIN, Watermark.LOW, Watermark.HIGH, Watermark.PROMO].map((w) =>
    word(booted, zone + Zone.watermark + w),
  );

describe("two nodes with three zones", () => {
  const booted = bootOnly({ cpus: 3, nodes: 2, cpuNodes: [0, 0, 1], memoryBytes: 6 * GIB });
  const zones = booted.mm.populated.map(({ node, index, position }) => ({
    node,
    index,
    position,
    at: booted.mm.zoneAt(node, index),
    managed: word(booted, booted.mm.zoneAt(node, index) + Zone.managedPages),
  }));

  test("share min_free_kbytes by size", () => {
    const pages = word(booted, globalAt(booted, "minFreeKbytes")) / 4;
    const sum = zones.reduce((total, zone) => total + marks(booted, zone.at)[0], 0);
    expect(sum).toBeLessThanOrEqual(pages);
    expect(sum).toBeGreaterThan(pages - zones.length);
  });

  test("keep lower zones from what could use higher ones of the same node", () => {
    const reserve = (node: number, zone: number, highest: number) =>
      word(booted, booted.mm.zoneAt(node, zone) + Zone.lowmemReserve + highest);
    const [dma, dma32, normal] = zones;
    expect([dma.node, dma32.node, normal.node]).toEqual([0, 0, 1]);
    expect(reserve(0, ZoneIndex.DMA, ZoneIndex.DMA32)).toBe(Math.floor(dma32.managed / 256));
    expect(reserve(0, ZoneIndex.DMA, ZoneIndex.NORMAL)).toBe(Math.floor(dma32.managed / 256));
    expect(reserve(0, ZoneIndex.DMA, ZoneIndex.DMA)).toBe(0);
    expect(reserve(1, ZoneIndex.DMA32, ZoneIndex.NORMAL)).toBe(0);
  });

  test("size page lists by the CPUs of each zone's node", () => {
    for (const { node, position, managed, at } of zones) {
      const low = marks(booted, at)[1];
      const nodeCpus = booted.topology.nodeCpus[node].length;
      const sizes = pageListSizes({ managed, low, nodeCpus, cpus: 3, highFraction: 0 });
      for (let cpu = 0; cpu < 3; cpu++) {
        const pcp = booted.mm.pagesets.at(position) + cpu * booted.mm.pagesets.unitWords;
        expect(word(booted, pcp + PerCpuPages.batch)).toBe(sizes.batch);
        expect(word(booted, pcp + PerCpuPages.highMin)).toBe(sizes.highMin);
        expect(word(booted, pcp + PerCpuPages.highMax)).toBe(sizes.highMax);
        expect(word(booted, pcp + PerCpuPages.flags)).toBe(PcpFlag.FREE_HIGH_BATCH);
      }
    }
  });

  test("have counter thresholds on every CPU, a node's being its largest zone's", () => {
    const thresholds = zones.map((zone) => statThreshold.normal(3, zone.managed));
    for (const [i, { position }] of zones.entries()) {
      const ofCpu2 = booted.mm.zonestats.at(position) + 2 * booted.mm.zonestats.unitWords;
      expect(word(booted, ofCpu2 + PerCpuZonestat.statThreshold)).toBe(thresholds[i]);
    }
    const ofNode0 = word(booted, booted.mm.nodestats.of(1) + PerCpuNodestat.statThreshold);
    expect(ofNode0).toBe(Math.max(thresholds[0], thresholds[1]));
  });

  test("have a drift mark only where deltas could hide a broken mark", () => {
    for (const { at, managed } of zones) {
      const [min, low, high] = marks(booted, at);
      const drift = 3 * statThreshold.normal(3, managed);
      expect(word(booted, at + Zone.percpuDriftMark)).toBe(drift > low - min ? high + drift : 0);
    }
  });

  test("count total reserves per node and in all", () => {
    const ofNodes = [0, 1].map((node) => word(booted, booted.mm.nodes.at(node) + Node.totalReservePages));
    const [dma, dma32, normal] = zones;
    const reserve = Math.floor(dma32.managed / 256);
    expect(ofNodes[0]).toBe(marks(booted, dma.at)[2] + reserve + marks(booted, dma32.at)[2]);
    expect(ofNodes[1]).toBe(marks(booted, normal.at)[2]);
    expect(word(booted, globalAt(booted, "totalReservePages"))).toBe(ofNodes[0] + ofNodes[1]);
  });
});

describe("a tunable that changes", () => {
  test("min_free_kbytes moves the marks", () => {
    const booted = bootOnly({ cpus: 1, memoryBytes: 256 * MIB });
    const zone = booted.mm.zoneAt(0, ZoneIndex.DMA32);
    const before = marks(booted, zone)[0];
    setupMinFree(booted.memory, booted.mm, 4 * word(booted, globalAt(booted, "minFreeKbytes")), false);
    setupWatermarks(booted.memory, booted.mm);
    expect(marks(booted, zone)[0] / before).toBeCloseTo(4, 1);
  });

  test("watermark_scale_factor widens the gaps", () => {
    const booted = bootOnly({ cpus: 1, memoryBytes: 256 * MIB });
    const zone = booted.mm.zoneAt(0, ZoneIndex.DMA32);
    booted.memory.write(globalAt(booted, "watermarkScaleFactor"), 1000);
    setupWatermarks(booted.memory, booted.mm);
    const [min, low, high, promo] = marks(booted, zone);
    const gap = Math.floor(word(booted, zone + Zone.managedPages) / 10);
    expect([low - min, high - low, promo - high]).toEqual([gap, gap, gap]);
  });

  test("percpu_pagelist_high_fraction fixes the length of page lists", () => {
    const booted = bootOnly({ cpus: 2, memoryBytes: 256 * MIB, cacheBytes: 0 });
    const zone = booted.mm.zoneAt(0, ZoneIndex.DMA32);
    booted.memory.write(globalAt(booted, "percpuPagelistHighFraction"), 16);
    setupWatermarks(booted.memory, booted.mm);
    const fixed = Math.floor(Math.floor(word(booted, zone + Zone.managedPages) / 16) / 2);
    expect([word(booted, zone + Zone.pagesetHighMin), word(booted, zone + Zone.pagesetHighMax)]).toEqual([
      fixed,
      fixed,
    ]);
    const pcp = booted.mm.pagesets.of(1);
    expect(word(booted, pcp + PerCpuPages.flags) & PcpFlag.FREE_HIGH_BATCH).toBe(0);
  });

  test("batch and high of page lists can be given, for a machine that stands for a larger one", () => {
    const booted = bootOnly({ cpus: 2, memoryBytes: 256 * MIB });
    const zone = booted.mm.zoneAt(0, ZoneIndex.DMA32);
    const formula = word(booted, zone + Zone.pagesetHighMin);
    booted.memory.write(globalAt(booted, "pcpBatch"), 31);
    booted.memory.write(globalAt(booted, "pcpHigh"), 1576);
    setupWatermarks(booted.memory, booted.mm);
    const read = (field: "pagesetBatch" | "pagesetHighMin" | "pagesetHighMax"): number =>
      word(booted, zone + Zone[field]);
    expect(formula).not.toBe(1576);
    expect([read("pagesetBatch"), read("pagesetHighMin"), read("pagesetHighMax")]).toEqual([31, 1576, 1576]);
  });

  test("lowmem_reserve_ratio of 0 reserves nothing", () => {
    const booted = bootOnly({ cpus: 1, memoryBytes: 256 * MIB });
    const at = booted.mm.zoneAt(0, ZoneIndex.DMA) + Zone.lowmemReserve + ZoneIndex.DMA32;
    expect(word(booted, at)).toBeGreaterThan(0);
    booted.memory.write(globalAt(booted, "lowmemReserveRatio") + ZoneIndex.DMA, 0);
    setupLowmemReserves(booted.memory, booted.mm);
    expect(word(booted, at)).toBe(0);
  });
});

test("zones for user memory have little minimum of their own, and do not share min_free_kbytes", () => {
  const booted = bootOnly({ cpus: 1, memoryBytes: 2 * GIB, zones: "x86-32", movablecoreBytes: 256 * MIB });
  const highmem = booted.mm.zoneAt(0, ZoneIndex.HIGHMEM);
  const movable = booted.mm.zoneAt(0, ZoneIndex.MOVABLE);
  expect(marks(booted, highmem)[0]).toBe(128);
  expect(marks(booted, movable)[0]).toBe(word(booted, movable + Zone.managedPages) / 1024);
  const low = [ZoneIndex.DMA, ZoneIndex.NORMAL].map((index) => marks(booted, booted.mm.zoneAt(0, index))[0]);
  const pages = Math.floor(word(booted, globalAt(booted, "minFreeKbytes")) / 4);
  expect(low[0] + low[1]).toBeGreaterThan(pages - 2);
});

test("a node without CPUs divides its page lists among all", () => {
  const booted = bootOnly({ cpus: 2, nodes: 2, cpuNodes: [0, 0], memoryBytes: 512 * MIB });
  const zone = booted.mm.zoneAt(1, ZoneIndex.DMA32);
  const highMax = word(booted, zone + Zone.pagesetHighMax);
  expect(highMax).toBe(Math.floor(Math.floor(word(booted, zone + Zone.managedPages) / 8) / 2));
});
