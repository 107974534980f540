/**
 * What one CPU's cache misses cost, and how they change the directory.
 *
 * A miss is served by the CPU that wrote the line last, if it still holds it; else by memory, where the next lines of a
 * stream come cheap.  Plain transfers are charged as exposed costs, marked ones in full (see costs).
 */

import type { Pointer } from "../../memory/units.ts";
import type { Costs } from "./costs.ts";
import { EXCLUSIVE, LINE_SHIFT, OWNER_MASK, ownedBy, VERSION_SHIFT } from "./directory-word.ts";
import type { LineStats } from "./line-stats.ts";
import type { VirtualMemoryParts } from "./memory.ts";
import type { VirtualTurn } from "./turn.ts";

/** A line that nobody took away in so many looks at the other CPUs counts as this CPU's own. */
export const QUIET = 32;

/** The slot of a line is `line ^ (line >> SPREAD)`: lines a power of two apart, such as heads of blocks, do not collide. */
export const SPREAD = 9;

const NO_LINE = -1;
/** Memory of nodes is aligned to 4 MiB and more, page structures of a node to a sixty-fourth of that. */
export const NODE_CHUNK_BYTES = 65536;
const NODE_CHUNK_LINES = NODE_CHUNK_BYTES / 64;

/** The table of what `cpus` CPUs hold, `lines` each: line and directory word, in pairs. */
export function heldTable(lines: number, cpus: number): SharedArrayBuffer {
  const table = new SharedArrayBuffer(lines * cpus * 8);
  new Int32Array(table).fill(NO_LINE);
  return table;
}

export class Misses {
  declare readonly directory: Int32Array;
  /** Lines that this CPU holds: for each slot the line and the directory word that it saw. */
  declare readonly held: Int32Array;
  /** For each slot: looks at the others since the line came, up to QUIET. */
  declare readonly quiet: Uint8Array;
  declare private readonly allHeld: Int32Array;
  declare private readonly busyUntil: Float64Array;
  declare private readonly turn: VirtualTurn;
  declare private readonly costs: Costs;
  declare private readonly cpu: number;
  declare private readonly cpus: number;
  declare private readonly chunkNode: Uint8Array;
  declare private readonly lineStats: LineStats | null;
  declare private readonly slotMask: number;
  private lastMiss = NO_LINE;

  constructor(parts: VirtualMemoryParts) {
    const slots = 1 << parts.costs.cacheLinesLog2;
    this.directory = new Int32Array(parts.directory);
    this.allHeld = new Int32Array(parts.held);
    this.held = this.allHeld.subarray(2 * slots * parts.cpu, 2 * slots * (parts.cpu + 1));
    this.quiet = new Uint8Array(slots);
    this.busyUntil = new Float64Array(parts.busy);
    this.turn = parts.turn;
    this.costs = parts.costs;
    this.cpu = parts.cpu;
    this.cpus = parts.cpus;
    this.chunkNode = parts.chunkNode;
    this.lineStats = parts.lineStats;
    this.slotMask = slots - 1;
  }

  read(address: Pointer, marked: boolean): void {
    const line = address >> LINE_SHIFT;
    const word = this.directory[line];
    this.turn.now += this.fetch(address, word, marked, false);
    const isForeign = (word & EXCLUSIVE) !== 0 && (word & OWNER_MASK) !== this.cpu;
    const shared = isForeign ? word & ~EXCLUSIVE : word;
    if (isForeign) this.directory[line] = shared;
    this.hold(line, shared);
  }

  /**
   * A write; `marked` if others may race for the line, `locked` for a locked operation.  Transfers of one line for
   * locked operations follow each other: who comes while the line is on its way to another CPU waits for it.  (Plain
   * misses do not queue: they run ahead of other CPUs' clocks.)
   */
  write(address: Pointer, marked: boolean, locked: boolean): void {
    const { turn, costs } = this;
    const line = address >> LINE_SHIFT;
    const at = ((line ^ (line >> SPREAD)) & this.slotMask) << 1;
    const word = this.directory[line];
    let cost: number;
    if (this.held[at] === line && (this.held[at + 1] ^ word) >>> VERSION_SHIFT === 0) {
      cost = locked ? costs.upgrade.marked : costs.upgrade.plain;
      if (marked) this.contended(at >> 1);
      this.lineStats?.upgrade(address, cost);
    } else {
      cost = this.fetch(address, word, marked, true, locked);
    }
    if (locked) {
      this.lineStats?.queue(address, this.busyUntil[line] - turn.now);
      turn.now = Math.max(turn.now, this.busyUntil[line]) + cost + costs.locked;
      this.busyUntil[line] = turn.now;
    } else {
      turn.now += cost;
    }
    const next = ownedBy(word, this.cpu);
    this.directory[line] = next;
    this.hold(line, next);
  }

  /** Cycles to get a line that is not here: from another CPU's cache, or from memory. */
  private fetch(address: Pointer, word: number, marked: boolean, writes: boolean, exposed = marked): number {
    const { costs } = this;
    const line = address >> LINE_SHIFT;
    const slot = (line ^ (line >> SPREAD)) & this.slotMask;
    const owner = word & OWNER_MASK;
    const ownersSlot = owner * (this.slotMask + 1) + slot;
    if (owner !== this.cpu && this.allHeld[ownersSlot << 1] === line) {
      if (marked) this.contended(slot);
      else this.quiet[slot] = QUIET;
      const at = this.cpu * this.cpus + owner;
      const cycles = exposed ? costs.transferMarked[at] : costs.transferPlain[at];
      if (this.lineStats !== null) {
        const modified = (word & EXCLUSIVE) !== 0;
        this.lineStats.transfer(address, owner, { writes, modified, exposed, cycles });
      }
      return cycles;
    }
    this.quiet[slot] = QUIET;
    const near = Math.abs(line - this.lastMiss) <= costs.streamWindowLines;
    this.lastMiss = line;
    const at = this.cpu * costs.nodes + this.chunkNode[Math.floor(line / NODE_CHUNK_LINES)];
    return near ? costs.streamMiss[at] : costs.memoryMiss[at];
  }

  private hold(line: number, word: number): void {
    const at = ((line ^ (line >> SPREAD)) & this.slotMask) << 1;
    this.held[at] = line;
    this.held[at + 1] = word;
  }

  /** Several CPUs want the line of `slot`. */
  private contended(slot: number): void {
    this.quiet[slot] = 0;
    this.turn.stayClose();
  }
}
