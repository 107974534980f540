/**
 * Where chunks beyond the first lie: in a window of addresses that are no memory, at the distances of the first chunk's
 * units, so that one offset a CPU serves them all.
 *
 *   stride S == unit U:   | c0 u0 | c0 u1 | c1 u0 | c1 u1 | ...
 *   stride S > U:         | c0 u0 | c1 u0 | ... to S | c0 u1 | c1 u1 | ... to S | and so on: a row of S / U chunks
 *
 * The window's bytes are what Linux's addresses in the vmalloc area are: of an area that is populated, each page stands
 * for a frame of its CPU's node, which is allocated and accounted like any other.  The bytes themselves are the
 * window's: see docs/decisions/010-percpu-window.md.
 *
 * Linux: mm/vmalloc.c pcpu_get_vm_areas, whose areas have the same congruent places.
 */

import type { Topology } from "../../hardware/topology.ts";
import { FRAME_WORDS, frameOf, MAX_RAM_BYTES, PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import { MAX_AREAS } from "./percpu-state.ts";

const MAX_PFN = MAX_RAM_BYTES / PAGE_BYTES;
const NO_AREA = -1;

export interface WindowPlan {
  readonly startPfn: number;
  /** 0: a pointer does not reach beyond memory, and the first chunk is all there is. */
  readonly pages: number;
}

/** The window begins where everything else ends.  It holds a quarter of memory; more, where strides lead over nodes. */
export function planWindow(topology: Topology, endPfn: number): WindowPlan {
  const { nodes, presentPages, maxPfn } = topology;
  const wanted = Math.floor(presentPages / 4) + (nodes > 1 ? maxPfn : 0);
  return { startPfn: endPfn, pages: Math.max(0, Math.min(wanted, MAX_PFN - endPfn)) };
}

export class PerCpuWindow {
  /** Chunks that find room. */
  readonly areas: number;
  private readonly start: Pointer;
  private readonly unitWords: number;
  private readonly rowWords: number;
  /** Chunks of a row. */
  private readonly perRow: number;

  constructor(plan: WindowPlan, units: { cpus: number; unitWords: number; strideWords: number }) {
    const { cpus, unitWords, strideWords } = units;
    this.start = frameOf(plan.startPfn);
    this.unitWords = unitWords;
    this.perRow = Math.floor(strideWords / unitWords);
    this.rowWords = cpus * strideWords;
    const words = plan.pages * FRAME_WORDS;
    const rows = Math.floor(words / this.rowWords);
    const rest = words - rows * this.rowWords - (cpus - 1) * strideWords;
    const more = Math.min(this.perRow, Math.max(0, Math.floor(rest / unitWords)));
    this.areas = Math.min(MAX_AREAS, rows * this.perRow + more);
  }

  /** First word of CPU 0's unit. */
  baseOf(area: number): Pointer {
    const row = Math.floor(area / this.perRow);
    return this.start + row * this.rowWords + (area - row * this.perRow) * this.unitWords;
  }

  /** The area in whose unit of CPU 0 `pointer` lies; -1 when it is in none. */
  areaOf(pointer: Pointer): number {
    const offset = pointer - this.start;
    if (offset < 0) return NO_AREA;
    const row = Math.floor(offset / this.rowWords);
    const inRow = Math.floor((offset - row * this.rowWords) / this.unitWords);
    const area = row * this.perRow + inRow;
    return inRow < this.perRow && area < this.areas ? area : NO_AREA;
  }
}
