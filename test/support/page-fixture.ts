/**
 * A formatted page allocator on the test's own thread, for tests of its parts: zones of any shape, all frames free.
 *
 * It writes what boot writes, from the test's numbers instead of formulas, so that a test can choose marks and batches.
 */

import type { Cpu } from "../../src/hardware/cpu.ts";
import { ImageLayout } from "../../src/memory/image.ts";
import { listInit } from "../../src/memory/list.ts";
import type { Memory } from "../../src/memory/memory.ts";
import { struct, word, wordsIn } from "../../src/memory/struct.ts";
import { alignUp, FRAME_WORDS, type Pfn } from "../../src/memory/units.ts";
import { checkPages } from "../../src/mm/pages/check-pages.ts";
import { FREE_AREA_WORDS, FreeArea } from "../../src/mm/pages/free-area.ts";
import {
  MAX_ORDER,
  MIGRATE_TYPES,
  MigrateType,
  ORDERS,
  PAGEBLOCK_ORDER,
} from "../../src/mm/pages/migrate-types.ts";
import { NODE_WORDS, Node, ZONELIST_ENTRY_WORDS } from "../../src/mm/pages/node.ts";
import { PAGE_WORDS, Page } from "../../src/mm/pages/page.ts";
import { PageAllocator } from "../../src/mm/pages/page-allocator.ts";
import { ZONE_SHIFT, ZONE_SLOTS } from "../../src/mm/pages/page-flags.ts";
import { PageGlobals } from "../../src/mm/pages/page-globals.ts";
import { PCP_LISTS, PCP_WORDS, PerCpuPages } from "../../src/mm/pages/per-cpu-pages.ts";
import {
  NODESTAT_WORDS,
  PerCpuNodestat,
  PerCpuZonestat,
  VmEventState,
  ZONESTAT_WORDS,
} from "../../src/mm/pages/per-cpu-stats.ts";
import type { ReclaimHooks } from "../../src/mm/pages/reclaim-hooks.ts";
import { ZONE_WORDS, Zone, type ZoneRef } from "../../src/mm/pages/zone.ts";
import { ZoneIndex } from "../../src/mm/pages/zone-index.ts";
import { LockClass } from "../../src/sync/lock-class.ts";
import { SpinLocks } from "../../src/sync/spinlock.ts";
import { soloCpu } from "./solo.ts";

export interface ZoneSpec {
  readonly node?: number;
  readonly index?: number;
  readonly startPfn: number;
  readonly pages: number;
  readonly min?: number;
  readonly batch?: number;
  readonly highMin?: number;
  readonly highMax?: number;
}

export interface PageFixture {
  readonly memory: Memory;
  readonly cpus: readonly Cpu[];
  readonly locks: readonly SpinLocks[];
  /** One allocator a CPU. */
  readonly allocators: readonly PageAllocator[];
  readonly pages: PageAllocator;
  readonly zones: readonly ZoneRef[];
  /** Texts given to the report hook. */
  readonly reports: string[];
  /** Checks every invariant; returns the free pages. */
  check(): number;
}

const Unit = struct("unit", { end: word("boot") });

export function pageFixture(options: {
  zones: readonly ZoneSpec[];
  cpus?: number;
  threshold?: number;
  boostFactor?: number;
  hooks?: Partial<ReclaimHooks>;
}): PageFixture {
  const { zones: specs, cpus: cpuCount = 1, threshold = 0 } = options;
  const maxPfn = Math.max(...specs.map((z) => z.startPfn + z.pages));
  const nodeCount = 1 + Math.max(...specs.map((z) => z.node ?? 0));
  const image = new ImageLayout();
  const lockSlots = SpinLocks.declare(image, cpuCount);
  const globalsSlot = image.place("page_globals", PageGlobals);
  const tables = {
    zones: nodeCount * ZONE_SLOTS * ZONE_WORDS,
    nodes: nodeCount * NODE_WORDS,
    memMap: maxPfn * PAGE_WORDS,
    pageblocks: (maxPfn >> PAGEBLOCK_ORDER) + 1,
  };
  const pcps = image.perCpu("pcp", Unit, (specs.length * PCP_WORDS) / 2);
  const zonestats = image.perCpu("zonestat", Unit, (specs.length * ZONESTAT_WORDS) / 2);
  const nodestats = image.perCpu("nodestat", Unit, (nodeCount * NODESTAT_WORDS) / 2);
  const events = image.perCpu("events", VmEventState);
  // The tables lie after the frames, so that tests may use all of them from frame 1.
  const tablesStart = maxPfn * FRAME_WORDS;
  const unitWords = alignUp(image.perCpuWords, 16);
  const perCpuStart = alignUp(tablesStart + image.staticWords, 16);
  let next = alignUp(perCpuStart + unitWords * cpuCount, 16);
  const place = (words: number): number => {
    const at = next;
    next = alignUp(next + words, 16);
    return at;
  };
  const at = {
    zones: place(tables.zones),
    nodes: place(tables.nodes),
    memMap: place(tables.memMap),
    pageblocks: place(tables.pageblocks),
  };
  const { memory, all } = soloCpu({ bytes: alignUp(next * 4, 4096), cpus: cpuCount });
  image.bind({ staticStart: tablesStart, perCpuStart, unitWords });
  const locks = all.map((cpu) => new SpinLocks(cpu, lockSlots));
  const globals = globalsSlot.address;
  const write = (offset: number, value: number): void => memory.write(globals + offset, value);
  write(PageGlobals.memMap, at.memMap);
  write(PageGlobals.maxPfn, maxPfn);
  write(PageGlobals.zones, at.zones);
  write(PageGlobals.nodes, at.nodes);
  write(PageGlobals.nodeCount, nodeCount);
  write(PageGlobals.pageblocks, at.pageblocks);
  write(PageGlobals.events, events.of(0));
  write(PageGlobals.perCpuUnitWords, unitWords);
  write(PageGlobals.zonePartWords, unitWords);
  write(PageGlobals.perCpuUnits, cpuCount);
  write(PageGlobals.watermarkBoostFactor, options.boostFactor ?? 0);
  locks[0].format(globals + PageGlobals.drainLock, LockClass.PCPU_DRAIN);
  locks[0].format(globals + PageGlobals.oomLock, LockClass.OOM);
  for (let block = 0; block < tables.pageblocks; block++)
    memory.write(at.pageblocks + block, MigrateType.MOVABLE);

  const zones = specs.map((spec, i) => {
    const node = spec.node ?? 0;
    const index = spec.index ?? ZoneIndex.NORMAL;
    const zone = at.zones + (node * ZONE_SLOTS + index) * ZONE_WORDS;
    formatZone(memory, locks[0], zone, spec);
    memory.write(zone + Zone.pageset, pcps.of(0) + i * PCP_WORDS);
    memory.write(zone + Zone.zonestats, zonestats.of(0) + i * ZONESTAT_WORDS);
    for (let cpu = 0; cpu < cpuCount; cpu++) {
      formatPcp(memory, locks[0], pcps.of(cpu) + i * PCP_WORDS, spec);
      memory.write(zonestats.of(cpu) + i * ZONESTAT_WORDS + PerCpuZonestat.statThreshold, threshold);
    }
    const flags = (node * ZONE_SLOTS + index) << ZONE_SHIFT;
    for (let pfn = spec.startPfn; pfn < spec.startPfn + spec.pages; pfn++) {
      memory.write(at.memMap + pfn * PAGE_WORDS + Page.flags, flags);
      memory.write(at.memMap + pfn * PAGE_WORDS + Page.mapcount, -1);
    }
    return zone;
  });
  for (let node = 0; node < nodeCount; node++) {
    const ref = at.nodes + node * NODE_WORDS;
    memory.write(ref + Node.id, node);
    memory.write(ref + Node.nodestats, nodestats.of(0) + node * NODESTAT_WORDS);
    for (let cpu = 0; cpu < cpuCount; cpu++) {
      memory.write(nodestats.of(cpu) + node * NODESTAT_WORDS + PerCpuNodestat.statThreshold, threshold);
    }
    formatZonelists(memory, ref, node, specs, zones);
  }
  const reports: string[] = [];
  const allocators = all.map((cpu, id) => {
    const pages = new PageAllocator({ cpu, locks: locks[id], globals, localNode: id % nodeCount });
    pages.install({ report: (text) => void reports.push(text), ...options.hooks });
    return pages;
  });
  for (const spec of specs) releaseRange(allocators[0], spec.startPfn, spec.startPfn + spec.pages);
  return {
    memory,
    cpus: all,
    locks,
    allocators,
    pages: allocators[0],
    zones,
    reports,
    check: () => checkPages(allocators[0].frames, allocators[0].vmstat),
  };
}

function formatZone(memory: Memory, locks: SpinLocks, zone: ZoneRef, spec: ZoneSpec): void {
  const node = spec.node ?? 0;
  const index = spec.index ?? ZoneIndex.NORMAL;
  const min = spec.min ?? 0;
  memory.write(zone + Zone.index, index);
  memory.write(zone + Zone.node, node);
  memory.write(zone + Zone.buddyTag, (node * ZONE_SLOTS + index) << 8);
  [1, 1.25, 1.5, 1.75].forEach((factor, i) => {
    memory.write(zone + Zone.watermark + i, Math.floor(min * factor));
  });
  memory.write(zone + Zone.startPfn, spec.startPfn);
  memory.write(zone + Zone.spannedPages, spec.pages);
  memory.write(zone + Zone.presentPages, spec.pages);
  memory.write(zone + Zone.initialized, 1);
  locks.format(zone + Zone.lock, LockClass.ZONE);
  for (let order = 0; order < ORDERS; order++) {
    const area = zone + Zone.freeArea + order * FREE_AREA_WORDS;
    for (let type = 0; type < MIGRATE_TYPES; type++) listInit(memory, area + FreeArea.lists + 2 * type);
  }
}

function formatPcp(memory: Memory, locks: SpinLocks, pcp: number, spec: ZoneSpec): void {
  const { batch = 7, highMin = 28, highMax = 28 } = spec;
  locks.format(pcp, LockClass.PCP);
  memory.write(pcp + PerCpuPages.batch, batch);
  memory.write(pcp + PerCpuPages.high, highMin);
  memory.write(pcp + PerCpuPages.highMin, highMin);
  memory.write(pcp + PerCpuPages.highMax, highMax);
  for (let list = 0; list < PCP_LISTS; list++) listInit(memory, pcp + PerCpuPages.lists + 2 * list);
}

/** Own node first, then the others by number; in a node the highest zone first. */
function formatZonelists(
  memory: Memory,
  node: number,
  own: number,
  specs: readonly ZoneSpec[],
  zones: readonly ZoneRef[],
): void {
  const ordered = specs
    .map((spec, i) => ({ zone: zones[i], node: spec.node ?? 0, index: spec.index ?? ZoneIndex.NORMAL }))
    .sort((a, b) => Number(a.node !== own) - Number(b.node !== own) || a.node - b.node || b.index - a.index);
  const fill = (list: number, entries: typeof ordered): void =>
    entries.forEach((entry, i) => {
      memory.write(list + i * ZONELIST_ENTRY_WORDS, entry.zone);
      memory.write(list + i * ZONELIST_ENTRY_WORDS + 1, entry.index);
    });
  fill(node + Node.fallback, ordered);
  fill(
    node + Node.noFallback,
    ordered.filter((entry) => entry.node === own),
  );
}

/** The largest aligned blocks that fit, lowest first, as memblock hands them over. */
function releaseRange(pages: PageAllocator, start: Pfn, end: Pfn): void {
  for (let pfn = start; pfn < end; ) {
    let order = Math.min(MAX_ORDER, pfn === 0 ? MAX_ORDER : 31 - Math.clz32(pfn & -pfn));
    while (pfn + (1 << order) > end) order--;
    pages.releasePages(pfn, order);
    pfn += 1 << order;
  }
}

if (wordsIn(Unit) > 2) throw new Error("a unit of the fixture's per-CPU arrays is two words");
