/**
 * What one CPU's cache misses cost, and how they change the directory.
 *
 * A miss is served by the CPU that wrote the line last, if it still holds it; else by memory, where the next lines of a
 * stream come cheap.  Plain transfers are charged as exposed costs, marked ones in full (see costs).
 */

import type { Pointer } from "../../memory/units.ts";
import { type Cache, QUIET } from "./cache.ts";
import type { Costs } from "./costs.ts";
import { EXCLUSIVE, LINE_SHIFT, OWNER_MASK, ownedBy, VERSION_SHIFT } from "./directory-word.ts";
import type { LineStats } from "./line-stats.ts";
import type { VirtualMemoryParts } from "./memory.ts";
import type { VirtualTurn } from "./turn.ts";

const NO_LINE = -1;
const NEVER_WRITTEN = 0;
/** Memory of nodes is aligned to 4 MiB and more, page structures of a node to a sixty-fourth of that. */
export const NODE_CHUNK_BYTES = 65536;
const NODE_CHUNK_LINES = NODE_CHUNK_BYTES / 64;

export class Misses {
  declare private readonly directory: Int32Array;
  declare private readonly cache: Cache;
  declare private readonly held: Int32Array;
  declare private readonly busyUntil: Float64Array;
  declare private readonly turn: VirtualTurn;
  declare private readonly costs: Costs;
  declare private readonly cpu: number;
  declare private readonly cpus: number;
  declare private readonly mine: number;
  declare private readonly chunkNode: Uint8Array;
  declare private readonly lineStats: LineStats | null;
  private lastMiss = NO_LINE;
  /** The line that comes counts as this CPU's own. */
  private arrivesQuiet = true;

  constructor(parts: VirtualMemoryParts, cache: Cache, directory: Int32Array) {
    this.directory = directory;
    this.cache = cache;
    this.held = cache.held;
    this.busyUntil = new Float64Array(parts.busy);
    this.turn = parts.turn;
    this.costs = parts.costs;
    this.cpu = parts.cpu;
    this.cpus = parts.cpus;
    this.mine = EXCLUSIVE | parts.cpu;
    this.chunkNode = parts.chunkNode;
    this.lineStats = parts.lineStats;
  }

  /** A read that the front of the set cannot serve. */
  read(address: Pointer, marked: boolean): void {
    const { turn, directory } = this;
    const line = address >> LINE_SHIFT;
    const at = this.cache.setOf(line);
    const isHere = this.arrange(line, at);
    const word = directory[line];
    if (isHere && (this.held[at + 1] ^ word) >>> VERSION_SHIFT === 0) {
      turn.now += this.costs.hit;
      return;
    }
    turn.now += this.fetch(address, word, at, marked, false);
    const isForeign = (word & EXCLUSIVE) !== 0 && (word & OWNER_MASK) !== this.cpu;
    const shared = isForeign ? word & ~EXCLUSIVE : word;
    if (isForeign) directory[line] = shared;
    this.hold(line, at, shared, isHere);
  }

  /**
   * A write that the front of the set cannot serve; `marked` if others may race for the line, `locked` for a locked
   * operation.  Transfers of one line for locked operations follow each other: who comes while the line is on its way
   * to another CPU waits for it.  (Plain misses do not queue: they run ahead of other CPUs' clocks.)
   */
  write(address: Pointer, marked: boolean, locked: boolean): void {
    const { turn, costs } = this;
    const line = address >> LINE_SHIFT;
    const at = this.cache.setOf(line);
    const isHere = this.arrange(line, at);
    const word = this.directory[line];
    const isCurrent = isHere && (this.held[at + 1] ^ word) >>> VERSION_SHIFT === 0;
    if (isCurrent && (word & (EXCLUSIVE | OWNER_MASK)) === this.mine && this.held[at + 1] === word) {
      turn.now += locked ? costs.hit + costs.locked : costs.hit;
      return;
    }
    let cost: number;
    if (isCurrent) {
      this.arrivesQuiet = this.cache.quiet[at >> 1] === QUIET;
      cost = locked ? costs.upgrade.marked : costs.upgrade.plain;
      if (marked) this.contended();
      this.lineStats?.upgrade(address, cost);
    } else {
      cost = this.fetch(address, word, at, marked, true, locked);
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
    this.hold(line, at, next, isHere);
  }

  /**
   * Brings `line` to the front of its set `at` if it is here.  A plain access lets earlier CPUs go first, too, when this
   * CPU is far ahead, or when another has taken the line away: those two would pass it to and fro.
   */
  private arrange(line: number, at: number): boolean {
    const { turn, cache } = this;
    const isHere = cache.bringForward(line, at);
    if (turn.now < turn.limit) return isHere;
    const isTaken = isHere && (this.held[at + 1] ^ this.directory[line]) >>> VERSION_SHIFT !== 0;
    if (isTaken || turn.now >= turn.reach) turn.look();
    return isHere;
  }

  /** Cycles to get a line that is not here: from another CPU's cache, or from memory. */
  private fetch(
    address: Pointer,
    word: number,
    set: number,
    marked: boolean,
    writes: boolean,
    exposed = marked,
  ): number {
    const { costs } = this;
    const line = address >> LINE_SHIFT;
    const owner = word & OWNER_MASK;
    this.arrivesQuiet = true;
    this.turn.forgetLines();
    if (word !== NEVER_WRITTEN && owner !== this.cpu && this.cache.isHeldBy(owner, line, set)) {
      // Still here, of an older version: it was taken away.
      if (marked || this.held[set] === line) this.contended();
      const at = this.cpu * this.cpus + owner;
      const cycles = exposed ? costs.transferMarked[at] : costs.transferPlain[at];
      if (this.lineStats !== null) {
        const modified = (word & EXCLUSIVE) !== 0;
        this.lineStats.transfer(address, owner, { writes, modified, exposed, cycles });
      }
      return cycles;
    }
    const near = Math.abs(line - this.lastMiss) <= costs.streamWindowLines;
    this.lastMiss = line;
    const at = this.cpu * costs.nodes + this.chunkNode[Math.floor(line / NODE_CHUNK_LINES)];
    if (near) return costs.streamMiss[at];
    return exposed ? costs.memoryMissMarked[at] : costs.memoryMiss[at];
  }

  /** The line is here now, in front of its set. */
  private hold(line: number, at: number, word: number, isHere: boolean): void {
    const looks = this.arrivesQuiet ? QUIET : 0;
    if (isHere) {
      this.held[at + 1] = word;
      this.cache.quiet[at >> 1] = looks;
    } else {
      this.cache.insert(at, line, word, looks);
    }
  }

  /** Several CPUs want the line. */
  private contended(): void {
    this.arrivesQuiet = false;
    this.turn.stayClose();
  }
}
