/**
 * Which words make cache lines travel: what `perf c2c` samples, exact.
 *
 * Each CPU counts for itself, by the word whose access missed, while a run asks for it; the counts are merged by line
 * and named afterwards.
 */

import type { Pointer } from "../../memory/units.ts";

/** Transfers to one CPU because of accesses to one word. */
export interface WordCount {
  readonly address: Pointer;
  /** Transfers for a read, for a write; upgrades from shared to exclusive. */
  reads: number;
  writes: number;
  upgrades: number;
  /** CPUs that the line came from, with counts. */
  readonly from: Map<number, number>;
}

export class LineStats {
  private readonly words = new Map<Pointer, WordCount>();

  transfer(address: Pointer, from: number, writes: boolean): void {
    const count = this.of(address);
    if (writes) count.writes++;
    else count.reads++;
    count.from.set(from, (count.from.get(from) ?? 0) + 1);
  }

  upgrade(address: Pointer): void {
    this.of(address).upgrades++;
  }

  clear(): void {
    this.words.clear();
  }

  all(): WordCount[] {
    return [...this.words.values()];
  }

  private of(address: Pointer): WordCount {
    let count = this.words.get(address);
    if (count === undefined) {
      count = { address, reads: 0, writes: 0, upgrades: 0, from: new Map() };
      this.words.set(address, count);
    }
    return count;
  }
}
