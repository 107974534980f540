/**
 * Marks, reserves, page-list sizes and counter thresholds of a running machine, from the words in RAM: at boot, and
 * whenever a tunable under vm changes.
 *
 * The caller sees to it that nobody else changes the same words; readers may see old and new values mixed, as in Linux.
 * Linux: mm/page_alloc.c init_per_zone_wmark_min, setup_per_zone_wmarks, zone_set_pageset_high_and_batch; mm/vmstat.c
 * refresh_zone_stat_thresholds.
 */

import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import { Node } from "../pages/node.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import { PcpFlag, PerCpuPages } from "../pages/per-cpu-pages.ts";
import { PerCpuNodestat, PerCpuZonestat } from "../pages/per-cpu-stats.ts";
import { Watermark, Zone, type ZoneRef } from "../pages/zone.ts";
import { ZONE_INDEXES, ZoneIndex } from "../pages/zone-index.ts";
import type { CpuParts, MmImage } from "./mm-image.ts";
import {
  hugePageMinFreeKbytes,
  lowmemReserves,
  minFreeKbytes,
  pageListSizes,
  statThreshold,
  type Watermarks,
  zoneWatermarks,
} from "./sizing.ts";

/**
 * min_free_kbytes from the size of low memory, or `override` if it is not 0, or more for huge pages.  Call it again
 * after the marks are set, as Linux does when huge pages start: low memory is counted above the high marks.
 */
export function setupMinFree(memory: Memory, mm: MmImage, override: number, hugePages: boolean): number {
  const lowmem = lowmemPages(memory, mm);
  let kbytes = override !== 0 ? override : minFreeKbytes(lowmem);
  if (hugePages && override === 0) {
    const populated = mm.populated.filter((zone) => zone.index <= ZoneIndex.NORMAL).length;
    kbytes = Math.max(kbytes, hugePageMinFreeKbytes(populated, lowmem));
  }
  memory.write(mm.globals.address + PageGlobals.minFreeKbytes, kbytes);
  return kbytes;
}

/** Pages above the high marks in the zones that user memory may fill.  Linux: nr_free_buffer_pages. */
function lowmemPages(memory: Memory, mm: MmImage): number {
  let pages = 0;
  for (const place of mm.populated) {
    if (place.index > ZoneIndex.NORMAL) continue;
    const zone = mm.zoneAt(place.node, place.index);
    const high = memory.read(zone + Zone.watermark + Watermark.HIGH);
    pages += Math.max(0, memory.read(zone + Zone.managedPages) - high);
  }
  return pages;
}

/** Marks of every zone, then what follows from them.  Linux: setup_per_zone_wmarks. */
export function setupWatermarks(memory: Memory, mm: MmImage): void {
  const g = mm.globals.address;
  const kbytes = memory.read(g + PageGlobals.minFreeKbytes);
  const scaleFactor = memory.read(g + PageGlobals.watermarkScaleFactor);
  let lowmemManaged = 0;
  for (const { node, index } of mm.populated) {
    if (index <= ZoneIndex.NORMAL) lowmemManaged += memory.read(mm.zoneAt(node, index) + Zone.managedPages);
  }
  for (const { node, index } of mm.populated) {
    const zone = mm.zoneAt(node, index);
    const managed = memory.read(zone + Zone.managedPages);
    const marks = zoneWatermarks({
      zoneIndex: index,
      managed,
      lowmemManaged,
      minFreeKbytes: kbytes,
      scaleFactor,
    });
    memory.write(zone + Zone.watermarkBoost, 0);
    memory.write(zone + Zone.watermark + Watermark.MIN, marks.min);
    memory.write(zone + Zone.watermark + Watermark.LOW, marks.low);
    memory.write(zone + Zone.watermark + Watermark.HIGH, marks.high);
    memory.write(zone + Zone.watermark + Watermark.PROMO, marks.promo);
  }
  updateTotalReserves(memory, mm);
  setupPageLists(memory, mm);
  setupStatThresholds(memory, mm);
}

/** Linux: setup_per_zone_lowmem_reserve. */
export function setupLowmemReserves(memory: Memory, mm: MmImage): void {
  const g = mm.globals.address;
  const ratios = indexes.map((i) => memory.read(g + PageGlobals.lowmemReserveRatio + i));
  for (let node = 0; node < mm.plan.topology.nodes; node++) {
    const managed = indexes.map((i) => memory.read(mm.zoneAt(node, i) + Zone.managedPages));
    for (const [i, row] of lowmemReserves(managed, ratios).entries()) {
      for (const j of indexes) memory.write(mm.zoneAt(node, i) + Zone.lowmemReserve + j, row[j]);
    }
  }
  updateTotalReserves(memory, mm);
}

/** What no user allocation may count on.  Linux: calculate_totalreserve_pages. */
function updateTotalReserves(memory: Memory, mm: MmImage): void {
  let total = 0;
  for (let node = 0; node < mm.plan.topology.nodes; node++) {
    let ofNode = 0;
    for (const i of indexes) {
      const zone = mm.zoneAt(node, i);
      const reserves = indexes.slice(i).map((j) => memory.read(zone + Zone.lowmemReserve + j));
      const wanted = Math.max(...reserves) + memory.read(zone + Zone.watermark + Watermark.HIGH);
      ofNode += Math.min(wanted, memory.read(zone + Zone.managedPages));
    }
    memory.write(mm.nodes.at(node) + Node.totalReservePages, ofNode);
    total += ofNode;
  }
  memory.write(mm.globals.address + PageGlobals.totalReservePages, total);
}

/** Batch and limits of every page list.  Linux: zone_set_pageset_high_and_batch, zone_pcp_update_cacheinfo. */
function setupPageLists(memory: Memory, mm: MmImage): void {
  const { topology } = mm.plan;
  const globals = mm.globals.address;
  const slicePages = Math.floor(topology.cacheSliceBytes / PAGE_BYTES);
  for (const { node, index, position } of mm.populated) {
    const zone = mm.zoneAt(node, index);
    const { batch, highMin, highMax } = pageListSizes({
      managed: memory.read(zone + Zone.managedPages),
      low: marksOf(memory, zone).low,
      nodeCpus: topology.nodeCpus[node].length,
      cpus: topology.cpus,
      highFraction: memory.read(globals + PageGlobals.percpuPagelistHighFraction),
      batch: memory.read(globals + PageGlobals.pcpBatch),
      high: memory.read(globals + PageGlobals.pcpHigh),
    });
    memory.write(zone + Zone.pagesetHighMin, highMin);
    memory.write(zone + Zone.pagesetHighMax, highMax);
    memory.write(zone + Zone.pagesetBatch, batch);
    forEachCpu(mm, mm.pagesets, position, (pcp) => {
      memory.write(pcp + PerCpuPages.batch, batch);
      memory.write(pcp + PerCpuPages.highMin, highMin);
      memory.write(pcp + PerCpuPages.highMax, highMax);
      if (slicePages > 3 * batch) memory.or(pcp + PerCpuPages.flags, PcpFlag.FREE_HIGH_BATCH);
      else memory.and(pcp + PerCpuPages.flags, ~PcpFlag.FREE_HIGH_BATCH);
    });
  }
}

/**
 * Thresholds of all counters; a node's is the largest of its zones'.  Housekeeping CPUs hold deltas, too, so they count
 * in the worst case that the drift mark guards against.  Linux: refresh_zone_stat_thresholds.
 */
function setupStatThresholds(memory: Memory, mm: MmImage): void {
  const { cpus, possibleCpus, nodes } = mm.plan.topology;
  const ofNode: number[] = new Array(nodes).fill(0);
  for (const { node, index, position } of mm.populated) {
    const zone = mm.zoneAt(node, index);
    const threshold = statThreshold.normal(cpus, memory.read(zone + Zone.managedPages));
    ofNode[node] = Math.max(ofNode[node], threshold);
    forEachCpu(mm, mm.zonestats, position, (at) =>
      memory.write(at + PerCpuZonestat.statThreshold, threshold),
    );
    const marks = marksOf(memory, zone);
    const maxDrift = possibleCpus * threshold;
    const mark = maxDrift > marks.low - marks.min ? marks.high + maxDrift : 0;
    memory.write(zone + Zone.percpuDriftMark, mark);
  }
  for (let node = 0; node < nodes; node++) {
    forEachCpu(mm, mm.nodestats, node, (at) => memory.write(at + PerCpuNodestat.statThreshold, ofNode[node]));
  }
}

const indexes = Array.from({ length: ZONE_INDEXES }, (_, i) => i);

function marksOf(memory: Memory, zone: ZoneRef): Watermarks {
  const mark = (which: number) => memory.read(zone + Zone.watermark + which);
  return {
    min: mark(Watermark.MIN),
    low: mark(Watermark.LOW),
    high: mark(Watermark.HIGH),
    promo: mark(Watermark.PROMO),
  };
}

/** Every CPU's instance of element `index` of a per-CPU array. */
function forEachCpu(mm: MmImage, parts: CpuParts, index: number, visit: (at: Pointer) => void): void {
  const first = parts.at(index);
  for (let cpu = 0; cpu < mm.plan.topology.possibleCpus; cpu++) visit(first + cpu * parts.unitWords);
}
