/**
 * The lines that one CPU holds: sets of `WAYS` lines, the one used last in front.
 *
 * Each way is two words, the line and the directory word that the CPU saw.  The front way of a set is all that the
 * memory's fast path looks at; a line in another way comes forward first.  The tables of all CPUs lie in one buffer,
 * so that a miss can ask whether the line's owner still holds it.
 */

import { SET_SHIFT, SET_SPREAD, WAYS } from "./directory-word.ts";

/** A line that nobody took away in so many looks at the other CPUs counts as this CPU's own. */
export const QUIET = 8;

const NO_LINE = -1;
const LAST_WAY = 2 * (WAYS - 1);

export class Cache {
  /** (line, word) by way and set. */
  declare readonly held: Int32Array;
  /** By way and set: looks at the others since the line came, up to QUIET. */
  declare readonly quiet: Uint8Array;
  declare readonly setMask: number;
  declare private readonly all: Int32Array;
  declare private readonly wordsPerCpu: number;

  constructor(table: SharedArrayBuffer, lines: number, cpu: number) {
    this.all = new Int32Array(table);
    this.wordsPerCpu = 2 * lines;
    this.held = this.all.subarray(cpu * this.wordsPerCpu, (cpu + 1) * this.wordsPerCpu);
    this.quiet = new Uint8Array(lines);
    this.setMask = lines / WAYS - 1;
  }

  /** The empty caches of `cpus` CPUs, `lines` each. */
  static table(lines: number, cpus: number): SharedArrayBuffer {
    const table = new SharedArrayBuffer(lines * cpus * 8);
    new Int32Array(table).fill(NO_LINE);
    return table;
  }

  /** First word of the set of `line`. */
  setOf(line: number): number {
    return ((line ^ (line >> SET_SPREAD)) & this.setMask) << SET_SHIFT;
  }

  /** Brings `line` to the front of its set `at`; false if it is not there. */
  bringForward(line: number, at: number): boolean {
    const { held } = this;
    for (let way = 0; way <= LAST_WAY; way += 2) {
      if (held[at + way] !== line) continue;
      const word = held[at + way + 1];
      const looks = this.quiet[(at + way) >> 1];
      this.shift(at, way);
      this.fill(at, line, word, looks);
      return true;
    }
    return false;
  }

  /** Puts `line`, which is in no way of the set `at`, in front; the line used longest ago leaves. */
  insert(at: number, line: number, word: number, looks: number): void {
    this.shift(at, LAST_WAY);
    this.fill(at, line, word, looks);
  }

  /** Whether `cpu` holds `line`, of set `at`, though perhaps an old version of it. */
  isHeldBy(cpu: number, line: number, at: number): boolean {
    const base = cpu * this.wordsPerCpu + at;
    for (let way = 0; way <= LAST_WAY; way += 2) if (this.all[base + way] === line) return true;
    return false;
  }

  /** Moves the ways before `way` back by one. */
  private shift(at: number, way: number): void {
    const { held, quiet } = this;
    for (let to = way; to > 0; to -= 2) {
      held[at + to] = held[at + to - 2];
      held[at + to + 1] = held[at + to - 1];
      quiet[(at + to) >> 1] = quiet[(at + to - 2) >> 1];
    }
  }

  private fill(at: number, line: number, word: number, looks: number): void {
    this.held[at] = line;
    this.held[at + 1] = word;
    this.quiet[at >> 1] = looks;
  }
}
