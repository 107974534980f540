/**
 * Which frames belong to which zone of which node: a pure function of the memory map and the limits, so that every CPU
 * knows it before memory exists.
 *
 * Each frame from the first to the last of a node lies in the span of exactly one zone of that node.  Linux:
 * mm/mm_init.c free_area_init, calculate_node_totalpages, find_zone_movable_pfns_for_nodes.
 */

import type { MemoryRange, ZoneLimits } from "../../hardware/topology.ts";
import { alignUp, PAGE_BYTES } from "../../memory/units.ts";
import { MAX_ORDER } from "../pages/migrate-types.ts";
import { ZONE_INDEXES, ZoneIndex } from "../pages/zone-index.ts";

const MAX_ORDER_PAGES = 1 << MAX_ORDER;

export interface ZoneSpan {
  readonly index: number;
  readonly startPfn: number;
  /** Frames from first to last, holes included. */
  readonly spanned: number;
  readonly present: number;
}

export interface NodePlan {
  readonly id: number;
  readonly startPfn: number;
  /** 0 for a node without memory. */
  readonly endPfn: number;
  readonly present: number;
  /** Populated zones, ascending. */
  readonly zones: readonly ZoneSpan[];
}

/** Possible frames of a zone index, on any node. */
export interface ZoneBounds {
  readonly low: number;
  readonly high: number;
}

export interface ZonePlan {
  readonly nodes: readonly NodePlan[];
  /** By zone index; MOVABLE has none of its own. */
  readonly bounds: readonly ZoneBounds[];
  /** First frame of ZONE_MOVABLE on each node, 0 where there is none. */
  readonly movableStart: readonly number[];
}

export interface ZonePlanInput {
  readonly ranges: readonly MemoryRange[];
  readonly nodes: number;
  readonly limits: ZoneLimits;
  readonly kernelcorePages: number;
  readonly movablecorePages: number;
}

export function planZones(input: ZonePlanInput): ZonePlan {
  const bounds = zoneBounds(input);
  const movableStart = movableStarts(input, bounds);
  const nodes = Array.from({ length: input.nodes }, (_, id) =>
    planNode({ id, ranges: input.ranges.filter((r) => r.node === id), bounds, movable: movableStart[id] }),
  );
  return { nodes, bounds, movableStart };
}

/** Linux: arch_zone_lowest_possible_pfn[] and arch_zone_highest_possible_pfn[], from the architecture's zone limits. */
function zoneBounds({ ranges, limits }: ZonePlanInput): ZoneBounds[] {
  const maxPfn = ranges[ranges.length - 1].endPfn;
  const end = (bytes: number) => Math.min(bytes / PAGE_BYTES, maxPfn);
  const ends: number[] = new Array(ZONE_INDEXES).fill(0);
  ends[ZoneIndex.DMA] = end(limits.dmaBytes);
  ends[ZoneIndex.DMA32] = end(limits.dma32Bytes);
  ends[ZoneIndex.NORMAL] = end(limits.lowmemBytes);
  ends[ZoneIndex.HIGHMEM] = maxPfn;
  let low = ranges[0].startPfn;
  return ends.map((limit, index) => {
    if (index > ZoneIndex.HIGHMEM) return { low: 0, high: 0 };
    const high = Math.max(limit, low);
    const own = { low, high };
    low = high;
    return own;
  });
}

interface NodeInput {
  id: number;
  ranges: readonly MemoryRange[];
  bounds: readonly ZoneBounds[];
  movable: number;
}

function planNode({ id, ranges, bounds, movable }: NodeInput): NodePlan {
  if (ranges.length === 0) return { id, startPfn: 0, endPfn: 0, present: 0, zones: [] };
  const startPfn = ranges[0].startPfn;
  const endPfn = ranges[ranges.length - 1].endPfn;
  const zones: ZoneSpan[] = [];
  for (let index = 0; index < ZONE_INDEXES; index++) {
    const [start, end] = zoneSpan(index, { bounds, movable, startPfn, endPfn });
    const present = presentIn(ranges, start, end);
    if (present > 0) zones.push({ index, startPfn: start, spanned: end - start, present });
  }
  return { id, startPfn, endPfn, present: presentIn(ranges, startPfn, endPfn), zones };
}

/** Linux: zone_spanned_pages_in_node with adjust_zone_range_for_zone_movable. */
function zoneSpan(
  index: number,
  node: { bounds: readonly ZoneBounds[]; movable: number; startPfn: number; endPfn: number },
): [start: number, end: number] {
  const { movable, startPfn, endPfn } = node;
  if (index === ZoneIndex.MOVABLE) return movable === 0 ? [0, 0] : [movable, endPfn];
  const { low, high } = node.bounds[index];
  const start = Math.min(Math.max(startPfn, low), high);
  const end = Math.min(Math.max(endPfn, low), high);
  if (movable === 0 || end <= movable) return [start, end];
  return start < movable ? [start, movable] : [start, start];
}

/** Frames of `ranges` in [start, end). */
export function presentIn(ranges: readonly MemoryRange[], start: number, end: number): number {
  let pages = 0;
  for (const r of ranges) pages += Math.max(0, Math.min(r.endPfn, end) - Math.max(r.startPfn, start));
  return pages;
}

/**
 * Spreads the memory that must not be movable evenly over the nodes; each node's ZONE_MOVABLE begins above its share.
 * Memory below the zone from which ZONE_MOVABLE is taken always counts as the kernel's.  Linux:
 * find_zone_movable_pfns_for_nodes.
 */
function movableStarts(input: ZonePlanInput, bounds: readonly ZoneBounds[]): number[] {
  const starts: number[] = new Array(input.nodes).fill(0);
  let required = requiredKernelPages(input);
  if (required === 0) return starts;
  const populated = starts.map((_, node) => node).filter((node) => input.ranges.some((r) => r.node === node));
  const usableStart = bounds[highestZone(bounds)].low;
  // Nodes that could not take their share leave a rest, which another round spreads over the others.
  for (let usableNodes = populated.length; usableNodes > 0 && required > 0; ) {
    let share = Math.floor(required / usableNodes);
    for (const node of populated) {
      if (required < share) share = Math.floor(required / usableNodes);
      const ranges = input.ranges.filter((r) => r.node === node);
      const taken = takeShare(ranges, { from: starts[node], usableStart, share, required });
      starts[node] = taken.start;
      required = taken.required;
    }
    usableNodes--;
    if (required <= usableNodes) break;
  }
  return starts.map((start, node) => {
    const aligned = alignUp(start, MAX_ORDER_PAGES);
    const end = Math.max(0, ...input.ranges.filter((r) => r.node === node).map((r) => r.endPfn));
    return aligned >= end ? 0 : aligned;
  });
}

/** 0: no ZONE_MOVABLE. */
function requiredKernelPages({ ranges, kernelcorePages, movablecorePages }: ZonePlanInput): number {
  const total = ranges.reduce((sum, r) => sum + r.endPfn - r.startPfn, 0);
  let required = kernelcorePages;
  if (movablecorePages > 0) {
    const movable = Math.min(alignUp(movablecorePages, MAX_ORDER_PAGES), total);
    required = Math.max(required, total - movable);
  }
  return required >= total ? 0 : required;
}

/** The zone that movable memory is cut from: the highest one that exists.  Linux: find_usable_zone_for_movable. */
function highestZone(bounds: readonly ZoneBounds[]): number {
  let index = ZoneIndex.HIGHMEM as number;
  while (index > 0 && bounds[index].low === bounds[index].high) index--;
  return index;
}

/** Moves one node's border up by `share` frames of its memory. */
function takeShare(
  ranges: readonly MemoryRange[],
  options: { from: number; usableStart: number; share: number; required: number },
): { start: number; required: number } {
  let { required, share: remaining } = options;
  let border = options.from;
  for (const range of ranges) {
    let start = Math.max(range.startPfn, border);
    if (start >= range.endPfn) continue;
    if (start < options.usableStart) {
      const kernelPages = Math.min(range.endPfn, options.usableStart) - start;
      remaining -= Math.min(kernelPages, remaining);
      required -= Math.min(kernelPages, required);
      if (range.endPfn <= options.usableStart) {
        border = range.endPfn;
        continue;
      }
      start = options.usableStart;
    }
    const size = Math.min(range.endPfn - start, remaining);
    border = start + size;
    required -= Math.min(required, size);
    remaining -= size;
    if (remaining === 0) break;
  }
  return { start: border, required };
}
