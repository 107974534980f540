/**
 * Which words make cache lines travel: what `perf c2c` samples, exact.
 *
 * Each CPU counts for itself, by the word whose access missed, while a run asks for it; the counts are merged by line
 * and named afterwards.
 */

import type { Pointer } from "../../memory/units.ts";

/** What one CPU's accesses to one word cost because another CPU had the line. */
export interface WordCount {
  readonly address: Pointer;
  /** Lines fetched from another CPU's cache for a read, for a write. */
  reads: number;
  writes: number;
  /** Of these: the other CPU had written the line since (`perf c2c`: HITM). */
  modified: number;
  /** Of these: charged in full, because a marked access waits for the line. */
  exposed: number;
  /** Writes to a line that was here, but shared: the other copies were invalidated. */
  upgrades: number;
  /** Cycles of all of these. */
  cycles: number;
  /** Cycles in which a locked operation waited until the line had reached the CPU before. */
  queueCycles: number;
  /** CPUs that the line came from, with counts. */
  readonly from: Map<number, number>;
}

/** How a line came from another CPU. */
export interface TransferKind {
  readonly writes: boolean;
  readonly modified: boolean;
  readonly exposed: boolean;
  readonly cycles: number;
}

export class LineStats {
  private readonly words = new Map<Pointer, WordCount>();

  /** A line came from CPU `owner`, which had `modified` it last. */
  transfer(address: Pointer, owner: number, how: TransferKind): void {
    const count = this.of(address);
    if (how.writes) count.writes++;
    else count.reads++;
    if (how.modified) count.modified++;
    if (how.exposed) count.exposed++;
    count.cycles += how.cycles;
    count.from.set(owner, (count.from.get(owner) ?? 0) + 1);
  }

  upgrade(address: Pointer, cycles: number): void {
    const count = this.of(address);
    count.upgrades++;
    count.cycles += cycles;
  }

  queue(address: Pointer, cycles: number): void {
    if (cycles > 0) this.of(address).queueCycles += cycles;
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
      count = {
        address,
        reads: 0,
        writes: 0,
        modified: 0,
        exposed: 0,
        upgrades: 0,
        cycles: 0,
        queueCycles: 0,
        from: new Map(),
      };
      this.words.set(address, count);
    }
    return count;
  }
}
