/**
 * Transfer counts on their way from the CPUs' threads: packed into shared memory, so that no copy is made.
 *
 * A record a word: address, then the counts in the order of `COUNTS`, then the number of CPUs that the line came from
 * and a pair (CPU, count) for each.
 */

import type { Pointer } from "../memory/units.ts";
import type { WordCount } from "../schedule/virtual/line-stats.ts";
import type { CpuCount, TransferCounts } from "./line-report.ts";

const COUNTS = ["reads", "writes", "modified", "exposed", "upgrades", "cycles", "queueCycles"] as const;
const FIXED = 1 + COUNTS.length + 1;

/** Counts that are being added up. */
export type RunningCounts = { -readonly [K in keyof TransferCounts]: TransferCounts[K] };

export const noCounts = (): RunningCounts => ({
  reads: 0,
  writes: 0,
  modified: 0,
  exposed: 0,
  upgrades: 0,
  cycles: 0,
  queueCycles: 0,
});

export function addCounts(sum: RunningCounts, counts: TransferCounts): void {
  for (const name of COUNTS) sum[name] += counts[name];
}

/** Adds the counts of the record at `at`. */
export function addPacked(sum: RunningCounts, packed: Float64Array, at: number): void {
  sum.reads += packed[at + 1];
  sum.writes += packed[at + 2];
  sum.modified += packed[at + 3];
  sum.exposed += packed[at + 4];
  sum.upgrades += packed[at + 5];
  sum.cycles += packed[at + 6];
  sum.queueCycles += packed[at + 7];
}

export function packCounts(words: readonly WordCount[]): Float64Array {
  const length = words.reduce((sum, { from }) => sum + FIXED + 2 * from.size, 0);
  const packed = new Float64Array(new SharedArrayBuffer(8 * length));
  let at = 0;
  for (const word of words) {
    packed[at++] = word.address;
    for (const name of COUNTS) packed[at++] = word[name];
    packed[at++] = word.from.size;
    for (const [cpu, count] of word.from) {
      packed[at++] = cpu;
      packed[at++] = count;
    }
  }
  return packed;
}

/** Cost of the record at `at`, as `costOf`. */
export const costAt = (packed: Float64Array, at: number): number => packed[at + 6] + packed[at + 7];

/** Visits each record by its word's address and its own place.  Runs have millions, so nothing is allocated for one. */
export function forEachRecord(packed: Float64Array, visit: (address: Pointer, at: number) => void): void {
  let at = 0;
  while (at < packed.length) {
    const next = at + FIXED + 2 * packed[at + FIXED - 1];
    visit(packed[at], at);
    at = next;
  }
}

/** The CPUs that the line of the record at `at` came from, with counts. */
export function sourcesOf(packed: Float64Array, at: number): CpuCount[] {
  const first = at + FIXED;
  return Array.from(
    { length: packed[first - 1] },
    (_, i): CpuCount => [packed[first + 2 * i], packed[first + 2 * i + 1]],
  );
}
