/**
 * Checks of the page allocator at rest: the invariants of buddy.ts, page-lists.ts and vmstat.ts, in their order.
 *
 * Every free block and every frame in it is looked at: a few tens of nanoseconds a frame.
 */

import { bug } from "../../memory/bug.ts";
import { checkedListLength } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pfn } from "../../memory/units.ts";
import { NODE_STAT_NAMES, ZONE_STAT_NAMES, ZoneStat } from "./counters.ts";
import type { Frames } from "./frames.ts";
import { FREE_AREA_WORDS, FreeArea } from "./free-area.ts";
import {
  isMergeable,
  MAX_ORDER,
  MIGRATE_TYPES,
  MigrateType,
  ORDERS,
  PAGEBLOCK_ORDER,
} from "./migrate-types.ts";
import { Node } from "./node.ts";
import { PAGE_LINKS, Page, type PageRef, PageType } from "./page.ts";
import { FLAGS_MASK } from "./page-flags.ts";
import { PageGlobals } from "./page-globals.ts";
import { PCP_LISTS, PerCpuPages, pcpListOrder } from "./per-cpu-pages.ts";
import { PerCpuNodestat, PerCpuZonestat } from "./per-cpu-stats.ts";
import type { Vmstat } from "./vmstat.ts";
import { Zone, type ZoneRef } from "./zone.ts";
import { ZONE_NAMES } from "./zone-index.ts";

/** Everything, for all zones: B1-B6, L1-L4, S1-S3.  Returns the free pages found, those on page lists included. */
export function checkPages(frames: Frames, vmstat: Vmstat): number {
  let free = 0;
  for (const zone of frames.populatedZones()) {
    free += checkBuddy(frames, vmstat, zone);
    free += checkPageLists(frames, zone);
  }
  checkCounters(frames);
  return free;
}

/** B1-B6 of one zone; returns its free pages, ISOLATE blocks included. */
export function checkBuddy(frames: Frames, vmstat: Vmstat, zone: ZoneRef): number {
  const { memory } = frames;
  const name = zoneName(memory, zone);
  const pagesOfType: number[] = new Array(MIGRATE_TYPES).fill(0);
  for (let order = 0; order < ORDERS; order++) {
    const area = zone + Zone.freeArea + order * FREE_AREA_WORDS;
    const nrFree = memory.read(area + FreeArea.nrFree);
    let blocks = 0;
    for (let type = 0; type < MIGRATE_TYPES; type++) {
      const head = area + FreeArea.lists + 2 * type;
      const length = checkedListLength(memory, head, `${name} order ${order} type ${type}`, nrFree - blocks);
      blocks += length;
      pagesOfType[type] += length << order;
      for (let link = memory.read(head); link !== head; link = memory.read(link)) {
        checkFreeBlock(frames, zone, link - PAGE_LINKS, order, type);
      }
    }
    if (blocks !== nrFree) bug(`B5 ${name}: order ${order} has ${blocks} blocks, nr_free says ${nrFree}`);
  }
  return checkFreeCounts(memory, vmstat, zone, pagesOfType);
}

/** L1-L4 of one zone, all CPUs; returns the pages on the lists. */
export function checkPageLists(frames: Frames, zone: ZoneRef): number {
  const { memory, globals } = frames;
  const partWords = memory.read(globals + PageGlobals.zonePartWords);
  let total = 0;
  for (let cpu = 0; cpu < memory.read(globals + PageGlobals.perCpuUnits); cpu++) {
    const pcp = memory.read(zone + Zone.pageset) + cpu * partWords;
    const name = `${zoneName(memory, zone)} page lists of cpu ${cpu}`;
    const count = memory.read(pcp + PerCpuPages.count);
    let pages = 0;
    for (let list = 0; list < PCP_LISTS; list++) {
      const head = pcp + PerCpuPages.lists + 2 * list;
      const order = pcpListOrder(list);
      pages += checkedListLength(memory, head, `L1 ${name}, list ${list}`, count) << order;
      for (let link = memory.read(head); link !== head; link = memory.read(link)) {
        checkListedBlock(frames, zone, link - PAGE_LINKS, order, name);
      }
    }
    if (pages !== count) bug(`L1 ${name}: ${pages} pages are on the lists, count says ${count}`);
    total += pages;
    const high = memory.read(pcp + PerCpuPages.high);
    const highMin = memory.read(pcp + PerCpuPages.highMin);
    const highMax = memory.read(pcp + PerCpuPages.highMax);
    // In a zone of few pages the formulas put highMin above highMax.
    // A decay leaves room for what is on the lists, two blocks of a huge page too; the next refill clamps it.
    const most = Math.max(highMin, highMax) + (2 << PAGEBLOCK_ORDER);
    if (high !== 0 && (high < Math.min(highMin, highMax) || high > most))
      bug(`L4 ${name}: high ${high} is not between ${highMin} and ${most}`);
  }
  return total;
}

/** S2 and S3 (S1 is B1): totals are sums of folded values, deltas within their thresholds. */
export function checkCounters(frames: Frames): void {
  const { memory, globals } = frames;
  const zones = frames.populatedZones();
  ZONE_STAT_NAMES.forEach((name, item) => {
    const sum = zones.reduce((total, zone) => total + memory.read(zone + Zone.stat + item), 0);
    const total = memory.read(globals + PageGlobals.zoneStat + item);
    if (sum !== total) bug(`S2 ${name}: zones sum to ${sum}, the machine's total is ${total}`);
  });
  NODE_STAT_NAMES.forEach((name, item) => {
    let sum = 0;
    for (let node = 0; node < frames.nodeCount; node++)
      sum += memory.read(frames.nodeAt(node) + Node.stat + item);
    const total = memory.read(globals + PageGlobals.nodeStat + item);
    if (sum !== total) bug(`S2 ${name}: nodes sum to ${sum}, the machine's total is ${total}`);
  });
  for (const zone of zones) {
    checkDeltas(frames, ZONE_STAT_NAMES, {
      start: memory.read(zone + Zone.zonestats),
      stride: memory.read(globals + PageGlobals.zonePartWords),
      diff: PerCpuZonestat.diff,
      threshold: PerCpuZonestat.statThreshold,
    });
  }
  for (let node = 0; node < frames.nodeCount; node++) {
    checkDeltas(frames, NODE_STAT_NAMES, {
      start: memory.read(frames.nodeAt(node) + Node.nodestats),
      stride: memory.read(globals + PageGlobals.perCpuUnitWords),
      diff: PerCpuNodestat.diff,
      threshold: PerCpuNodestat.statThreshold,
    });
  }
}

function checkFreeBlock(frames: Frames, zone: ZoneRef, page: PageRef, order: number, type: number): void {
  const { memory } = frames;
  const pfn = frames.pfnOf(page);
  const name = `${zoneName(memory, zone)} block ${pfn} of order ${order}`;
  const tag = memory.read(zone + Zone.buddyTag);
  const word = memory.read(page + Page.buddy);
  if (word !== (tag | (order + 1))) bug(`B4 ${name}: its buddy word is 0x${word.toString(16)}`);
  if (pfn % (1 << order) !== 0) bug(`B4 ${name}: its frame is not a multiple of its size`);
  if (!frames.spans(zone, pfn) || !frames.spans(zone, pfn + (1 << order) - 1))
    bug(`B4 ${name}: outside its zone`);
  for (let at = pfn; at < pfn + (1 << order); at += 1 << PAGEBLOCK_ORDER) {
    const blockType = frames.blockType(at);
    if (blockType !== type)
      bug(`B3 ${name}: on the list of type ${type}, its pageblock has type ${blockType}`);
  }
  if (order < MAX_ORDER) checkNoMerge(frames, pfn, order, type, tag, name);
  for (let i = 0; i < 1 << order; i++) checkFreeFrame(frames, pfn + i, i === 0, name);
}

function checkNoMerge(
  frames: Frames,
  pfn: Pfn,
  order: number,
  type: number,
  tag: number,
  name: string,
): void {
  const buddy = pfn ^ (1 << order);
  if (buddy >= frames.maxPfn) return;
  if (frames.memory.read(frames.pageOf(buddy) + Page.buddy) !== (tag | (order + 1))) return;
  if (order >= PAGEBLOCK_ORDER) {
    const other = frames.blockType(buddy);
    if (other !== type && !(isMergeable(other) && isMergeable(type))) return;
  }
  bug(`B2 ${name}: its buddy ${buddy} is free too`);
}

function checkFreeFrame({ memory, memMap }: Frames, pfn: Pfn, isHead: boolean, name: string): void {
  const page = memMap + pfn * 16;
  const refcount = memory.read(page + Page.refcount);
  const mapcount = memory.read(page + Page.mapcount);
  const flags = memory.read(page + Page.flags) & FLAGS_MASK;
  const type = memory.read(page + Page.type);
  if (refcount !== 0 || mapcount !== -1 || flags !== 0 || type !== PageType.NONE) {
    bug(
      `B6 ${name}: frame ${pfn} has refcount ${refcount}, mapcount ${mapcount}, flags ${flags}, type ${type}`,
    );
  }
  if (!isHead && memory.read(page + Page.buddy) !== 0)
    bug(`B4 ${name}: frame ${pfn} heads a free block inside it`);
}

function checkFreeCounts(memory: Memory, vmstat: Vmstat, zone: ZoneRef, pages: readonly number[]): number {
  const name = zoneName(memory, zone);
  const all = pages.reduce((sum, n) => sum + n, 0);
  const expected = all - pages[MigrateType.ISOLATE];
  const counted = vmstat.zoneStateSnapshot(zone, ZoneStat.nr_free_pages);
  if (counted !== expected) bug(`B1 ${name}: ${expected} pages are free, nr_free_pages says ${counted}`);
  const cma = vmstat.zoneStateSnapshot(zone, ZoneStat.nr_free_cma);
  if (cma !== pages[MigrateType.CMA])
    bug(`B1 ${name}: ${pages[MigrateType.CMA]} CMA pages are free, nr_free_cma says ${cma}`);
  const high = memory.read(zone + Zone.nrFreeHighatomic);
  if (high !== pages[MigrateType.HIGHATOMIC])
    bug(`B1 ${name}: ${pages[MigrateType.HIGHATOMIC]} HIGHATOMIC pages are free, the zone says ${high}`);
  return all;
}

function checkListedBlock(frames: Frames, zone: ZoneRef, page: PageRef, order: number, name: string): void {
  const { memory } = frames;
  const type = memory.read(page + Page.type);
  const pfn = frames.pfnOf(page);
  if (type !== (PageType.PCP | (order << 8))) bug(`L2 ${name}: frame ${pfn} has type 0x${type.toString(16)}`);
  if (frames.zoneOf(page) !== zone) bug(`L2 ${name}: frame ${pfn} belongs to another zone`);
  const refcount = memory.read(page + Page.refcount);
  if (refcount !== 0) bug(`L2 ${name}: frame ${pfn} has refcount ${refcount}`);
  if (memory.read(page + Page.buddy) !== 0) bug(`L3 ${name}: frame ${pfn} is in the buddy allocator too`);
}

/** Counters of all CPUs: where CPU 0's are, words from one CPU's to the next, offsets within. */
interface CounterParts {
  readonly start: number;
  readonly stride: number;
  readonly diff: number;
  readonly threshold: number;
}

function checkDeltas({ memory, globals }: Frames, names: readonly string[], parts: CounterParts): void {
  const { start, stride, diff, threshold } = parts;
  for (let cpu = 0; cpu < memory.read(globals + PageGlobals.perCpuUnits); cpu++) {
    const own = start + cpu * stride;
    const limit = memory.read(own + threshold);
    names.forEach((name, item) => {
      const delta = memory.read(own + diff + item);
      if (Math.abs(delta) > limit)
        bug(`S3 ${name}: cpu ${cpu} holds back ${delta}, its threshold is ${limit}`);
    });
  }
}

function zoneName(memory: Memory, zone: ZoneRef): string {
  return `node ${memory.read(zone + Zone.node)} zone ${ZONE_NAMES[memory.read(zone + Zone.index)]}`;
}
