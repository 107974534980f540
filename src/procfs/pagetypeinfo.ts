/**
 * /proc/pagetypeinfo: free blocks by migrate type, and the pageblocks of each type.
 *
 * Linux: mm/vmstat.c pagetypeinfo_show.  Differs: a pageblock counts if any of its frames is there, where Linux looks at
 * whole sections of memory.
 */

import { FREE_AREA_WORDS, FreeArea } from "../mm/pages/free-area.ts";
import {
  MIGRATE_TYPE_NAMES,
  MIGRATE_TYPES,
  ORDERS,
  PAGEBLOCK_ORDER,
  PAGEBLOCK_PAGES,
} from "../mm/pages/migrate-types.ts";
import { Zone } from "../mm/pages/zone.ts";
import { blocksLine, tableHead, typeLine } from "./layout.ts";
import type { ProcSource } from "./source.ts";
import { type ProcZone, underZoneLock, zonesOf } from "./zones.ts";

/** A list is followed so far and no further: the zone's lock is held meanwhile. */
const MOST_COUNTED = 100_000;

/** A table for each node with memory. */
export function pagetypeinfo(source: ProcSource): string {
  const zones = zonesOf(source, "populated");
  const nodes = [...new Set(zones.map(({ node }) => node))];
  return nodes
    .flatMap((node) =>
      nodeLines(
        source,
        zones.filter((zone) => zone.node === node),
      ),
    )
    .map((line) => `${line}\n`)
    .join("");
}

function nodeLines(source: ProcSource, zones: readonly ProcZone[]): string[] {
  const orders = Array.from({ length: ORDERS }, (_, order) => order);
  return [
    `Page block order: ${PAGEBLOCK_ORDER}`,
    `Pages per block:  ${PAGEBLOCK_PAGES}`,
    "",
    tableHead("Free pages count per migrate type at order", 44, orders, 6),
    ...zones.flatMap((zone) => freeLines(source, zone)),
    "",
    tableHead("Number of blocks type", 23, MIGRATE_TYPE_NAMES, 12),
    ...zones.map((zone) => blocksLine(zone.node, zone.name, pageblocks(source, zone))),
  ];
}

function freeLines(source: ProcSource, zone: ProcZone): string[] {
  return MIGRATE_TYPE_NAMES.map((name, type) => {
    const blocks = Array.from({ length: ORDERS }, (_, order) =>
      underZoneLock(source, zone, () => freeBlocks(source, zone, type, order)),
    );
    return typeLine(zone.node, zone.name, name, blocks);
  });
}

/** Length of a free list; ">100000" when it is longer.  @holds zone.lock */
function freeBlocks(source: ProcSource, { ref }: ProcZone, type: number, order: number): number | string {
  const { memory } = source.pages.frames;
  const head = ref + Zone.freeArea + order * FREE_AREA_WORDS + FreeArea.lists + 2 * type;
  let blocks = 0;
  for (let link = memory.read(head); link !== head; link = memory.read(link)) {
    if (blocks === MOST_COUNTED) return `>${MOST_COUNTED}`;
    blocks++;
  }
  return blocks;
}

/** Pageblocks of each type with memory of this zone. */
function pageblocks(source: ProcSource, { ref, node }: ProcZone): number[] {
  const { frames } = source.pages;
  const start = frames.memory.read(ref + Zone.startPfn);
  const end = start + frames.memory.read(ref + Zone.spannedPages);
  const ranges = source.topology.memory.filter((range) => range.node === node);
  const counts: number[] = new Array(MIGRATE_TYPES).fill(0);
  for (let pfn = start; pfn < end; pfn = (Math.floor(pfn / PAGEBLOCK_PAGES) + 1) * PAGEBLOCK_PAGES) {
    const blockEnd = Math.min(end, (Math.floor(pfn / PAGEBLOCK_PAGES) + 1) * PAGEBLOCK_PAGES);
    if (ranges.some((range) => range.startPfn < blockEnd && range.endPfn > pfn))
      counts[frames.blockType(pfn)]++;
  }
  return counts;
}
