/**
 * First state of zones, nodes, page lists and machine-wide words: what is known before the allocator has a page.
 *
 * RAM is zero at power-on, so only what is not zero is written.
 * Linux: mm/mm_init.c free_area_init_core, zone_init_internals; mm/page_alloc.c per_cpu_pages_init.
 */

import { listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { FREE_AREA_WORDS, FreeArea } from "../pages/free-area.ts";
import { MIGRATE_TYPES, MigrateType, ORDERS, PAGEBLOCK_PAGES } from "../pages/migrate-types.ts";
import { Node } from "../pages/node.ts";
import { ZONE_SLOTS } from "../pages/page-flags.ts";
import { Pageblock, PageGlobals } from "../pages/page-globals.ts";
import { PCP_LISTS, PerCpuPages } from "../pages/per-cpu-pages.ts";
import { Zone, type ZoneRef } from "../pages/zone.ts";
import { ZONE_INDEXES, ZoneIndex } from "../pages/zone-index.ts";
import type { MmImage } from "./mm-image.ts";
import type { NodePlan, ZoneSpan } from "./zone-plan.ts";

/** Words of a list head. */
const LIST_WORDS = 2;
/** vm.lowmem_reserve_ratio, by zone index. */
const LOWMEM_RESERVE_RATIO: Readonly<Record<number, number>> = {
  [ZoneIndex.DMA]: 256,
  [ZoneIndex.DMA32]: 256,
  [ZoneIndex.NORMAL]: 32,
};
const WATERMARK_SCALE_FACTOR = 10;
const WATERMARK_BOOST_FACTOR = 15_000;

/** Machine-wide words; `pageblocks` is an array of zeroed `pageblock`, one for each 512 frames. */
export function formatGlobals(
  memory: Memory,
  mm: MmImage,
  at: { memMap: Pointer; maxPfn: number; pageblocks: Pointer; frames: number },
): void {
  const g = mm.globals.address;
  memory.write(g + PageGlobals.memMap, at.memMap);
  memory.write(g + PageGlobals.maxPfn, at.maxPfn);
  memory.write(g + PageGlobals.zones, mm.zones.address);
  memory.write(g + PageGlobals.nodes, mm.nodes.address);
  memory.write(g + PageGlobals.nodeCount, mm.plan.topology.nodes);
  memory.write(g + PageGlobals.pageblocks, at.pageblocks);
  memory.write(g + PageGlobals.events, mm.events.address);
  memory.write(g + PageGlobals.perCpuUnitWords, mm.events.unitWords);
  memory.write(g + PageGlobals.zonePartWords, mm.pagesets.unitWords);
  memory.write(g + PageGlobals.perCpuUnits, mm.plan.topology.possibleCpus);
  memory.write(g + PageGlobals.watermarkScaleFactor, WATERMARK_SCALE_FACTOR);
  memory.write(g + PageGlobals.watermarkBoostFactor, WATERMARK_BOOST_FACTOR);
  for (let index = 0; index < ZONE_INDEXES; index++) {
    memory.write(g + PageGlobals.lowmemReserveRatio + index, LOWMEM_RESERVE_RATIO[index] ?? 0);
  }
  formatLock(memory, g + PageGlobals.drainLock, LockClass.PCPU_DRAIN);
  formatLock(memory, g + PageGlobals.oomLock, LockClass.OOM);
  memory.fill(at.pageblocks, (at.frames / PAGEBLOCK_PAGES) * wordsIn(Pageblock), MigrateType.MOVABLE);
}

export function formatNode(memory: Memory, mm: MmImage, node: NodePlan): void {
  const at = mm.nodes.at(node.id);
  memory.write(at + Node.id, node.id);
  memory.write(at + Node.nrZones, node.zones.length === 0 ? 0 : node.zones[node.zones.length - 1].index + 1);
  memory.write(at + Node.startPfn, node.startPfn);
  memory.write(at + Node.presentPages, node.present);
  memory.write(at + Node.spannedPages, node.endPfn - node.startPfn);
  memory.write(at + Node.nodestats, mm.nodestats.at(node.id));
  formatLock(memory, at + Node.lruLock, LockClass.LRU);
}

/** All zone slots of a node get free lists and a lock, so that a walk over slots needs no special case. */
export function formatZones(memory: Memory, mm: MmImage, node: NodePlan): void {
  for (let index = 0; index < ZONE_INDEXES; index++) {
    const zone = mm.zoneAt(node.id, index);
    memory.write(zone + Zone.index, index);
    memory.write(zone + Zone.node, node.id);
    memory.write(zone + Zone.buddyTag, (node.id * ZONE_SLOTS + index) << 8);
    formatLock(memory, zone + Zone.lock, LockClass.ZONE);
    for (let order = 0; order < ORDERS; order++) {
      const area = zone + Zone.freeArea + order * FREE_AREA_WORDS;
      for (let type = 0; type < MIGRATE_TYPES; type++)
        listInit(memory, area + FreeArea.lists + type * LIST_WORDS);
    }
  }
  for (const span of node.zones) formatZone(memory, mm, mm.zoneAt(node.id, span.index), span);
}

function formatZone(memory: Memory, mm: MmImage, zone: ZoneRef, span: ZoneSpan): void {
  memory.write(zone + Zone.startPfn, span.startPfn);
  memory.write(zone + Zone.spannedPages, span.spanned);
  memory.write(zone + Zone.presentPages, span.present);
  memory.write(zone + Zone.contiguous, span.present === span.spanned ? 1 : 0);
  memory.write(zone + Zone.initialized, 1);
  const node = memory.read(zone + Zone.node);
  const place = mm.populated.find((p) => p.node === node && p.index === span.index)!;
  memory.write(zone + Zone.pageset, mm.pagesets.at(place.position));
  memory.write(zone + Zone.zonestats, mm.zonestats.at(place.position));
}

/** Empty page lists on every CPU; their sizes come with `setupPageLists`. */
export function formatPageLists(memory: Memory, mm: MmImage): void {
  for (const { position } of mm.populated) {
    for (let cpu = 0; cpu < mm.plan.topology.possibleCpus; cpu++) {
      const pcp = mm.pagesets.at(position) + cpu * mm.pagesets.unitWords;
      formatLock(memory, pcp + PerCpuPages.lock, LockClass.PCP);
      memory.write(pcp + PerCpuPages.batch, 1);
      for (let list = 0; list < PCP_LISTS; list++)
        listInit(memory, pcp + PerCpuPages.lists + list * LIST_WORDS);
    }
  }
}

/** All zero is a free lock already; what it lacks is its class. */
function formatLock(memory: Memory, lock: Pointer, classId: number): void {
  memory.write(lock + SpinLock.classId, classId);
}
