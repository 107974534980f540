/**
 * /proc/zoneinfo: marks, counters and page lists of each zone; a node's counters with its first zone.
 *
 * Linux: mm/vmstat.c zoneinfo_show_print.  Differs: only counters that something counts are shown.
 */

import { ZoneStat } from "../mm/pages/counters.ts";
import { Node } from "../mm/pages/node.ts";
import { PageGlobals } from "../mm/pages/page-globals.ts";
import { PerCpuPages } from "../mm/pages/per-cpu-pages.ts";
import { PerCpuZonestat } from "../mm/pages/per-cpu-stats.ts";
import { watermarkPages } from "../mm/pages/watermark.ts";
import { Watermark, Zone } from "../mm/pages/zone.ts";
import { NODE_COUNTERS, NUMA_COUNTERS, ZONE_COUNTERS } from "./counted.ts";
import { counterLine, zoneTitle } from "./layout.ts";
import type { ProcSource } from "./source.ts";
import { configuredZones, type ProcZone, underZoneLock, zonesOf } from "./zones.ts";

/** kswapd gives a node up after so many rounds in vain.  Linux: MAX_RECLAIM_RETRIES. */
const MAX_FAILURES = 16;

export function zoneinfo(source: ProcSource): string {
  const seen = new Set<number>();
  const lines = zonesOf(source, "all").flatMap((zone) => {
    const isFirst = zone.isPopulated && !seen.has(zone.node);
    if (isFirst) seen.add(zone.node);
    return underZoneLock(source, zone, () => zoneLines(source, zone, isFirst));
  });
  return lines.map((line) => `${line}\n`).join("");
}

function zoneLines(source: ProcSource, zone: ProcZone, isFirst: boolean): string[] {
  const { vmstat } = source.pages;
  const { ref } = zone;
  const lines = [
    zoneTitle(zone.node, zone.name),
    ...(isFirst ? nodeCounterLines(source, zone) : []),
    ...sizeLines(source, zone),
  ];
  if (!zone.isPopulated) return lines;
  return [
    ...lines,
    ...ZONE_COUNTERS.map(({ name, item }) => counterLine(name, vmstat.zoneState(ref, item))),
    ...NUMA_COUNTERS.map(({ name, item }) => counterLine(name, vmstat.numaTotal(ref, item))),
    "  pagesets",
    ...Array.from({ length: source.topology.possibleCpus }, (_, cpu) =>
      pagesetLines(source, zone, cpu),
    ).flat(),
    ...lastLines(source, zone),
  ];
}

function nodeCounterLines({ pages: { vmstat } }: ProcSource, { nodeRef }: ProcZone): string[] {
  if (NODE_COUNTERS.length === 0) return [];
  const counters = NODE_COUNTERS.map(({ name, item }) => counterLine(name, vmstat.nodeState(nodeRef, item)));
  return ["  per-node stats", ...counters];
}

function sizeLines({ pages, topology }: ProcSource, { ref }: ProcZone): string[] {
  const { memory } = pages.frames;
  const rows: readonly (readonly [name: string, pages: number])[] = [
    ["boost", memory.read(ref + Zone.watermarkBoost)],
    ["min", watermarkPages(memory, ref, Watermark.MIN)],
    ["low", watermarkPages(memory, ref, Watermark.LOW)],
    ["high", watermarkPages(memory, ref, Watermark.HIGH)],
    ["promo", watermarkPages(memory, ref, Watermark.PROMO)],
    ["spanned", memory.read(ref + Zone.spannedPages)],
    ["present", memory.read(ref + Zone.presentPages)],
    ["managed", memory.read(ref + Zone.managedPages)],
    ["cma", memory.read(ref + Zone.cmaPages)],
  ];
  const reserves = configuredZones(topology).map((index) => memory.read(ref + Zone.lowmemReserve + index));
  const free = pages.vmstat.zoneState(ref, ZoneStat.nr_free_pages);
  return [
    `  pages free     ${free}`,
    ...rows.map(([name, count]) => `        ${name.padEnd(8)} ${count}`),
    `        protection: (${reserves.join(", ")})`,
  ];
}

function pagesetLines({ pages: { frames } }: ProcSource, { ref }: ProcZone, cpu: number): string[] {
  const { memory, globals } = frames;
  const offset = cpu * memory.read(globals + PageGlobals.zonePartWords);
  const pcp = memory.read(ref + Zone.pageset) + offset;
  const stats = memory.read(ref + Zone.zonestats) + offset;
  const rows = [
    ["count", PerCpuPages.count],
    ["high", PerCpuPages.high],
    ["batch", PerCpuPages.batch],
    ["high_min", PerCpuPages.highMin],
    ["high_max", PerCpuPages.highMax],
  ] as const;
  return [
    `    cpu: ${cpu}`,
    ...rows.map(([name, field]) => `              ${`${name}:`.padEnd(9)} ${memory.read(pcp + field)}`),
    `  vm stats threshold: ${memory.read(stats + PerCpuZonestat.statThreshold)}`,
  ];
}

function lastLines({ pages: { frames } }: ProcSource, { ref, nodeRef }: ProcZone): string[] {
  const { memory } = frames;
  const isGivenUp = memory.read(nodeRef + Node.kswapdFailures) >= MAX_FAILURES;
  return [
    `  node_unreclaimable:  ${isGivenUp ? 1 : 0}`,
    `  start_pfn:           ${memory.read(ref + Zone.startPfn)}`,
  ];
}
