/**
 * Memory in words, as the kernel log shows it with an allocation failure.
 *
 * Linux: mm/show_mem.c __show_mem, show_free_areas.
 */

import type { Memory } from "../../memory/memory.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { NodeStat, ZoneStat } from "./counters.ts";
import type { Frames } from "./frames.ts";
import { FREE_AREA_WORDS, FreeArea } from "./free-area.ts";
import { MIGRATE_TYPES, ORDERS } from "./migrate-types.ts";
import { Node } from "./node.ts";
import { PageGlobals } from "./page-globals.ts";
import { PerCpuPages } from "./per-cpu-pages.ts";
import type { Vmstat } from "./vmstat.ts";
import { watermarkPages } from "./watermark.ts";
import { Watermark, Zone, type ZoneRef } from "./zone.ts";
import { ZONE_INDEXES, ZONE_NAMES, ZoneIndex } from "./zone-index.ts";

/** Letters of the migrate types in the lines of free blocks. */
const TYPE_LETTERS = "UMEHCI";
/** kswapd gives a node up after so many rounds in vain.  Linux: MAX_RECLAIM_RETRIES. */
const MAX_FAILURES = 16;

const NODE_COLUMNS: readonly (readonly [label: string, item: number])[] = [
  ["active_anon", NodeStat.nr_active_anon],
  ["inactive_anon", NodeStat.nr_inactive_anon],
  ["active_file", NodeStat.nr_active_file],
  ["inactive_file", NodeStat.nr_inactive_file],
  ["unevictable", NodeStat.nr_unevictable],
  ["isolated(anon)", NodeStat.nr_isolated_anon],
  ["isolated(file)", NodeStat.nr_isolated_file],
  ["mapped", NodeStat.nr_mapped],
  ["dirty", NodeStat.nr_dirty],
  ["writeback", NodeStat.nr_writeback],
  ["shmem", NodeStat.nr_shmem],
  ["shmem_thp", NodeStat.nr_shmem_hugepages],
  ["shmem_pmdmapped", NodeStat.nr_shmem_pmdmapped],
  ["anon_thp", NodeStat.nr_anon_transparent_hugepages],
  ["writeback_tmp", NodeStat.nr_writeback_temp],
];
const ZONE_COLUMNS: readonly (readonly [label: string, item: number])[] = [
  ["active_anon", ZoneStat.nr_zone_active_anon],
  ["inactive_anon", ZoneStat.nr_zone_inactive_anon],
  ["active_file", ZoneStat.nr_zone_active_file],
  ["inactive_file", ZoneStat.nr_zone_inactive_file],
  ["unevictable", ZoneStat.nr_zone_unevictable],
  ["writepending", ZoneStat.nr_zone_write_pending],
];

const kilobytes = (pages: number): number => pages * 4;

export interface ShowMemParts {
  readonly frames: Frames;
  readonly vmstat: Vmstat;
  readonly locks: SpinLocks;
  /** The CPU that asks. */
  readonly cpu: number;
}

/** The whole block from "Mem-Info:" on, for zones up to `highestZone`.  @takes zone.lock */
export function showMem(parts: ShowMemParts, highestZone: number): string {
  const { frames } = parts;
  const { memory } = frames;
  const populated = frames.populatedZones();
  const zones = populated.filter((zone) => memory.read(zone + Zone.index) <= highestZone);
  const nodes = Array.from({ length: frames.nodeCount }, (_, node) => node).filter((node) =>
    zones.some((zone) => memory.read(zone + Zone.node) === node),
  );
  return [
    "Mem-Info:",
    ...totalLines(parts, zones),
    ...nodes.map((node) => nodeLine(parts, node)),
    ...zones.flatMap((zone) => zoneLines(parts, zone)),
    ...zones.map((zone) => freeBlocksLine(parts, zone)),
    `${parts.vmstat.globalNodeState(NodeStat.nr_file_pages)} total pagecache pages`,
    ...ramLines(memory, populated),
  ].join("\n");
}

function totalLines({ frames, vmstat }: ShowMemParts, zones: readonly ZoneRef[]): string[] {
  const node = (item: number): number => vmstat.globalNodeState(item);
  const zone = (item: number): number => vmstat.globalZoneState(item);
  const onLists = zones.reduce((sum, z) => sum + listedPages(frames, z), 0);
  const N = NodeStat;
  return [
    `active_anon:${node(N.nr_active_anon)} inactive_anon:${node(N.nr_inactive_anon)} isolated_anon:${node(N.nr_isolated_anon)}`,
    ` active_file:${node(N.nr_active_file)} inactive_file:${node(N.nr_inactive_file)} isolated_file:${node(N.nr_isolated_file)}`,
    ` unevictable:${node(N.nr_unevictable)} dirty:${node(N.nr_dirty)} writeback:${node(N.nr_writeback)}`,
    ` slab_reclaimable:${node(N.nr_slab_reclaimable)} slab_unreclaimable:${node(N.nr_slab_unreclaimable)}`,
    ` mapped:${node(N.nr_mapped)} shmem:${node(N.nr_shmem)} pagetables:${node(N.nr_page_table_pages)}`,
    ` sec_pagetables:${node(N.nr_sec_page_table_pages)} bounce:${zone(ZoneStat.nr_bounce)}`,
    ` kernel_misc_reclaimable:${node(N.nr_kernel_misc_reclaimable)}`,
    ` free:${zone(ZoneStat.nr_free_pages)} free_pcp:${onLists} free_cma:${zone(ZoneStat.nr_free_cma)}`,
  ];
}

function nodeLine({ frames, vmstat }: ShowMemParts, id: number): string {
  const node = frames.nodeAt(id);
  const columns = NODE_COLUMNS.map(
    ([label, item]) => `${label}:${kilobytes(vmstat.nodeState(node, item))}kB`,
  );
  const failures = frames.memory.read(node + Node.kswapdFailures);
  return [
    `Node ${id}`,
    ...columns,
    `kernel_stack:${vmstat.nodeState(node, NodeStat.nr_kernel_stack)}kB`,
    `pagetables:${kilobytes(vmstat.nodeState(node, NodeStat.nr_page_table_pages))}kB`,
    `sec_pagetables:${kilobytes(vmstat.nodeState(node, NodeStat.nr_sec_page_table_pages))}kB`,
    `all_unreclaimable? ${failures >= MAX_FAILURES ? "yes" : "no"}`,
  ].join(" ");
}

function zoneLines({ frames, vmstat, cpu }: ShowMemParts, zone: ZoneRef): string[] {
  const { memory } = frames;
  const field = (offset: number): number => kilobytes(memory.read(zone + offset));
  const stat = (item: number): number => kilobytes(vmstat.zoneState(zone, item));
  const mark = (which: number): number => kilobytes(watermarkPages(memory, zone, which));
  const ownLists = pagesOnLists(frames, zone, cpu);
  const reserve = Array.from({ length: ZONE_INDEXES }, (_, i) => memory.read(zone + Zone.lowmemReserve + i));
  return [
    [
      `Node ${memory.read(zone + Zone.node)} ${ZONE_NAMES[memory.read(zone + Zone.index)]}`,
      `free:${stat(ZoneStat.nr_free_pages)}kB`,
      `boost:${field(Zone.watermarkBoost)}kB`,
      `min:${mark(Watermark.MIN)}kB`,
      `low:${mark(Watermark.LOW)}kB`,
      `high:${mark(Watermark.HIGH)}kB`,
      `reserved_highatomic:${field(Zone.nrReservedHighatomic)}KB`,
      ...ZONE_COLUMNS.map(([label, item]) => `${label}:${stat(item)}kB`),
      `present:${field(Zone.presentPages)}kB`,
      `managed:${field(Zone.managedPages)}kB`,
      `mlocked:${stat(ZoneStat.nr_mlock)}kB`,
      `bounce:${stat(ZoneStat.nr_bounce)}kB`,
      `free_pcp:${kilobytes(listedPages(frames, zone))}kB`,
      `local_pcp:${kilobytes(ownLists)}kB`,
      `free_cma:${stat(ZoneStat.nr_free_cma)}kB`,
    ].join(" "),
    `lowmem_reserve[]: ${reserve.join(" ")}`,
  ];
}

/** Free blocks by order, with the letters of the types that have some. */
function freeBlocksLine({ frames, locks }: ShowMemParts, zone: ZoneRef): string {
  const { memory } = frames;
  const parts: string[] = [];
  let total = 0;
  const irqs = locks.lockIrqSave(zone + Zone.lock);
  for (let order = 0; order < ORDERS; order++) {
    const area = zone + Zone.freeArea + order * FREE_AREA_WORDS;
    const blocks = memory.read(area + FreeArea.nrFree);
    total += blocks << order;
    const letters = [...TYPE_LETTERS].filter((_, type) => {
      const head = area + FreeArea.lists + 2 * type;
      return type < MIGRATE_TYPES && memory.read(head) !== head;
    });
    parts.push(`${blocks}*${kilobytes(1 << order)}kB${blocks > 0 ? ` (${letters.join("")})` : ""}`);
  }
  locks.unlockIrqRestore(zone + Zone.lock, irqs);
  const name = ZONE_NAMES[memory.read(zone + Zone.index)];
  return `Node ${memory.read(zone + Zone.node)} ${name}: ${parts.join(" ")} = ${kilobytes(total)}kB`;
}

function ramLines(memory: Memory, zones: readonly ZoneRef[]): string[] {
  let present = 0;
  let reserved = 0;
  let high = 0;
  for (const zone of zones) {
    const pages = memory.read(zone + Zone.presentPages);
    const index = memory.read(zone + Zone.index);
    present += pages;
    reserved += pages - memory.read(zone + Zone.managedPages);
    if (index === ZoneIndex.HIGHMEM || index === ZoneIndex.MOVABLE) high += pages;
  }
  return [`${present} pages RAM`, `${high} pages HighMem/MovableOnly`, `${reserved} pages reserved`];
}

function listedPages(frames: Frames, zone: ZoneRef): number {
  const cpus = frames.memory.read(frames.globals + PageGlobals.perCpuUnits);
  let sum = 0;
  for (let cpu = 0; cpu < cpus; cpu++) sum += pagesOnLists(frames, zone, cpu);
  return sum;
}

function pagesOnLists({ memory, globals }: Frames, zone: ZoneRef, cpu: number): number {
  const partWords = memory.read(globals + PageGlobals.zonePartWords);
  return memory.read(memory.read(zone + Zone.pageset) + cpu * partWords + PerCpuPages.count);
}
