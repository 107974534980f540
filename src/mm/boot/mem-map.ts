/**
 * mem_map: where the page structures lie, and their first state.
 *
 * One flat array from frame 0, so that a frame's structure is `memMap + pfn * 16` everywhere.  On one node without
 * large holes it is a block of memory, as with Linux's FLATMEM.  Otherwise, as with SPARSEMEM_VMEMMAP, the array is a
 * window of addresses beyond memory (or in a hole), and each node reserves as many frames as the structures of its
 * present frames need.  The bytes are in the window alone: those frames are never touched, and neither are the
 * window's parts for holes.  See docs/decisions/004-mem-map-window.md.
 *
 * Linux: mm/sparse-vmemmap.c; mm/mm_init.c memmap_init, init_unavailable_range, memmap_init_reserved_pages.
 */

import type { MemoryRange } from "../../hardware/topology.ts";
import type { Memory } from "../../memory/memory.ts";
import {
  alignDown,
  alignUp,
  MAX_RAM_BYTES,
  PAGE_BYTES,
  type Pointer,
  WORD_BYTES,
} from "../../memory/units.ts";
import { MAX_ORDER, PAGEBLOCK_PAGES } from "../pages/migrate-types.ts";
import { PAGE_WORDS, Page, PageType, pageRef } from "../pages/page.ts";
import { PageFlag, ZONE_SHIFT, ZONE_SLOTS } from "../pages/page-flags.ts";
import type { Memblock } from "./memblock.ts";
import { MemblockFlag } from "./memblock-ranges.ts";
import type { ZonePlan } from "./zone-plan.ts";

export const PAGE_STRUCT_BYTES = PAGE_WORDS * WORD_BYTES;
const MAX_ORDER_PAGES = 1 << MAX_ORDER;
const MAX_PFN = MAX_RAM_BYTES / PAGE_BYTES;
/** Structures that one copy writes: what fits a second-level cache. */
const COPY_PAGES = 4096;

export interface MemMapPlan {
  /** Frames that the array covers, from 0: up to a border that no block of the buddy allocator crosses. */
  readonly frames: number;
  readonly bytes: number;
  /** First frame of the window; 0: the array is allocated from memory. */
  readonly windowPfn: number;
  /** Bytes of simulated RAM up to the end of memory and of the window. */
  readonly ramBytes: number;
}

/** Decides where mem_map lies.  `ranges` are the present frames, ascending. */
export function planMemMap(ranges: readonly MemoryRange[], nodes: number): MemMapPlan {
  const maxPfn = ranges[ranges.length - 1].endPfn;
  const frames = alignUp(maxPfn, MAX_ORDER_PAGES);
  const bytes = frames * PAGE_STRUCT_BYTES;
  const present = ranges.reduce((sum, r) => sum + r.endPfn - r.startPfn, 0);
  const isDense = frames - present <= Math.max(present / 8, 2 * MAX_ORDER_PAGES);
  const windowPfn = nodes === 1 && isDense ? 0 : windowPlace(ranges, bytes / PAGE_BYTES);
  const endPfn = Math.max(maxPfn, windowPfn === 0 ? 0 : windowPfn + bytes / PAGE_BYTES);
  return { frames, bytes, windowPfn, ramBytes: endPfn * PAGE_BYTES };
}

/** Beyond memory if a pointer reaches there, else in the largest hole; 0 when neither has room. */
function windowPlace(ranges: readonly MemoryRange[], pages: number): number {
  const maxPfn = ranges[ranges.length - 1].endPfn;
  if (maxPfn + pages <= MAX_PFN) return maxPfn;
  let place = 0;
  let largest = pages - 1;
  for (let i = 1; i < ranges.length; i++) {
    const hole = ranges[i].startPfn - ranges[i - 1].endPfn;
    if (hole > largest) {
      largest = hole;
      place = ranges[i - 1].endPfn;
    }
  }
  return place;
}

export interface MemMapParts {
  readonly memory: Memory;
  readonly memMap: Pointer;
  readonly ranges: readonly MemoryRange[];
  readonly plan: ZonePlan;
  readonly memblock: Memblock;
}

/** A hole of which `pages` frames share a pageblock with memory: they have a structure. */
export interface Unavailable {
  readonly node: number;
  readonly zoneIndex: number;
  readonly pages: number;
}

/** Writes the structure of every present frame, and of missing ones in pageblocks that have some. */
export function initMemMap(parts: MemMapParts): Unavailable[] {
  const holes: Unavailable[] = [];
  let previousEnd = 0;
  let last: PresentRun | undefined;
  for (const run of presentRuns(parts.ranges, parts.plan)) {
    const pages = initHole(parts, run.number, previousEnd, run.start);
    if (pages > 0) holes.push({ node: run.node, zoneIndex: run.zoneIndex, pages });
    initRun(parts, { ...run, isReserved: false });
    previousEnd = run.end;
    last = run;
  }
  if (last !== undefined) {
    const pages = initHole(parts, last.number, previousEnd, alignUp(previousEnd, PAGEBLOCK_PAGES));
    if (pages > 0) holes.push({ node: last.node, zoneIndex: last.zoneIndex, pages });
  }
  reserveFrames(parts);
  return holes;
}

interface PresentRun {
  readonly start: number;
  readonly end: number;
  readonly node: number;
  readonly zoneIndex: number;
  /** Zone number, as in a frame's flags. */
  readonly number: number;
}

/** Present frames in ascending order, cut at borders of zones. */
function* presentRuns(ranges: readonly MemoryRange[], plan: ZonePlan): Generator<PresentRun> {
  for (const r of ranges) {
    for (const zone of plan.nodes[r.node].zones) {
      const start = Math.max(r.startPfn, zone.startPfn);
      const end = Math.min(r.endPfn, zone.startPfn + zone.spanned);
      const number = r.node * ZONE_SLOTS + zone.index;
      if (start < end) yield { start, end, node: r.node, zoneIndex: zone.index, number };
    }
  }
}

/** The hole [start, end) between two runs: only what shares a pageblock with memory gets a structure. */
function initHole(parts: MemMapParts, number: number, start: number, end: number): number {
  const headEnd = start === 0 ? 0 : Math.min(end, alignUp(start, PAGEBLOCK_PAGES));
  const tailStart = Math.max(headEnd, alignDown(end, PAGEBLOCK_PAGES));
  if (start < headEnd) initRun(parts, { start, end: headEnd, number, isReserved: true });
  if (tailStart < end) initRun(parts, { start: tailStart, end, number, isReserved: true });
  return Math.max(0, headEnd - start) + end - tailStart;
}

/** Frames that memblock has reserved, or that are not in the direct map, are never given to the allocator. */
function reserveFrames(parts: MemMapParts): void {
  const { reserved, memory } = parts.memblock;
  const runs = [...presentRuns(parts.ranges, parts.plan)];
  const reserve = (base: number, endByte: number) => {
    for (const run of runs) {
      const start = Math.max(run.start, Math.floor(base / PAGE_BYTES));
      const end = Math.min(run.end, Math.ceil(endByte / PAGE_BYTES));
      if (start < end) initRun(parts, { start, end, number: run.number, isReserved: true });
    }
  };
  for (let i = 0; i < reserved.count; i++) {
    if ((reserved.flags(i) & MemblockFlag.RSRV_NOINIT) === 0) reserve(reserved.base(i), reserved.end(i));
  }
  for (let i = 0; i < memory.count; i++) {
    if ((memory.flags(i) & MemblockFlag.NOMAP) !== 0) reserve(memory.base(i), memory.end(i));
  }
}

/** Writes one structure and copies it over the run. */
function initRun(
  { memory, memMap }: MemMapParts,
  run: { start: number; end: number; number: number; isReserved: boolean },
): void {
  const first = pageRef(memMap, run.start);
  memory.fill(first, PAGE_WORDS, 0);
  memory.write(first + Page.flags, (run.number << ZONE_SHIFT) | (run.isReserved ? PageFlag.RESERVED : 0));
  memory.write(first + Page.refcount, run.isReserved ? 1 : 0);
  memory.write(first + Page.mapcount, -1);
  memory.write(first + Page.type, run.isReserved ? PageType.RESERVED : PageType.NONE);
  const pages = run.end - run.start;
  for (let done = 1; done < pages; ) {
    const count = Math.min(done, COPY_PAGES, pages - done);
    memory.copy(first + done * PAGE_WORDS, first, count * PAGE_WORDS);
    done += count;
  }
}
