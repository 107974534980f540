/**
 * Where the per-CPU units lie: each on its CPU's node, all at one distance from the next.
 *
 * A unit's address is `start + cpu * stride` everywhere, so units cannot be put freely.  But a stride may be longer
 * than a unit: what lies between two units is ordinary memory.  With CPUs numbered through the nodes in the order of
 * their memory there is nearly always a stride that leads each unit into its node.
 *
 * Unit k fits when lo(k) <= start + k * stride <= hi(k), with [lo, hi] the places in its node's largest free range.
 * Two units i < j then bound the stride by (lo(j) - hi(i)) / (j - i) and (hi(j) - lo(i)) / (j - i), and every stride
 * within all these bounds has a start.
 *
 * Linux: mm/percpu.c pcpu_embed_first_chunk, which groups units by node with any offset between groups.
 */

import type { Topology } from "../../hardware/topology.ts";
import { alignDown, alignUp, PAGE_BYTES } from "../../memory/units.ts";
import type { Memblock } from "./memblock.ts";
import { allocTryNode } from "./memblock-alloc.ts";

export interface UnitPlaces {
  /** Physical address of CPU 0's unit; 0: no room. */
  readonly start: number;
  /** Bytes from one unit to the next. */
  readonly stride: number;
  /** Whether each CPU's unit is on its own node. */
  readonly isLocal: boolean;
}

/** Places on which a unit may start. */
interface Places {
  readonly low: number;
  readonly high: number;
}

/** Reserves a zeroed unit of `unitBytes` (whole pages) for every possible CPU. */
export function placeUnits(memblock: Memblock, topology: Topology, unitBytes: number): UnitPlaces {
  const { possibleCpus, cpus, cpuNode, nodes } = topology;
  const lastNode = cpuNode[cpus - 1];
  // Housekeeping CPUs have the highest numbers: where their own node is too low for that, they go with the last CPU.
  const following = cpuNode.map((node, cpu) => (cpu < cpus ? node : lastNode));
  for (const wanted of nodes === 1 ? [] : [cpuNode, following]) {
    const spread = spreadUnits(
      wanted.map((node) => largestRange(memblock, node, unitBytes)),
      unitBytes,
    );
    if (spread === null) continue;
    for (let cpu = 0; cpu < possibleCpus; cpu++) {
      const unit = spread.start + cpu * spread.stride;
      if (!memblock.reserve(unit, unitBytes)) return { ...spread, start: 0, isLocal: false };
      memblock.ram.fill(unit / 4, unitBytes / 4, 0);
    }
    return { ...spread, isLocal: true };
  }
  // Out of the DMA zone if there is room: few pages are as scarce.
  const min = Math.min(topology.zones.dmaBytes, memblock.endOfMemory());
  const size = possibleCpus * unitBytes;
  const start = allocTryNode(memblock, { size, align: PAGE_BYTES, min, node: cpuNode[0] });
  return { start, stride: unitBytes, isLocal: nodes === 1 };
}

/** The shortest stride, and its highest start, with which unit k begins in `places[k]`; null when there is none. */
export function spreadUnits(
  places: readonly (Places | null)[],
  unitBytes: number,
): { start: number; stride: number } | null {
  let shortest = unitBytes;
  let longest = Number.POSITIVE_INFINITY;
  for (const [j, upper] of places.entries()) {
    if (upper === null) return null;
    for (let i = 0; i < j; i++) {
      const lower = places[i]!;
      shortest = Math.max(shortest, (upper.low - lower.high) / (j - i));
      longest = Math.min(longest, (upper.high - lower.low) / (j - i));
    }
  }
  const stride = alignUp(shortest, PAGE_BYTES);
  if (stride > longest) return null;
  let lowest = 0;
  let highest = Number.POSITIVE_INFINITY;
  for (const [k, place] of places.entries()) {
    lowest = Math.max(lowest, place!.low - k * stride);
    highest = Math.min(highest, place!.high - k * stride);
  }
  const start = alignDown(highest, PAGE_BYTES);
  return start >= lowest ? { start, stride } : null;
}

function largestRange(memblock: Memblock, node: number, unitBytes: number): Places | null {
  let largest: Places | null = null;
  for (const range of memblock.freeRanges(node)) {
    const low = alignUp(range.start, PAGE_BYTES);
    const high = alignDown(Math.min(range.end, memblock.currentLimit), PAGE_BYTES) - unitBytes;
    if (high >= low && (largest === null || high - low > largest.high - largest.low)) largest = { low, high };
  }
  return largest;
}
