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

/** One CPU's counts of one word. */
export interface UnpackedCount {
  readonly address: Pointer;
  readonly counts: TransferCounts;
  readonly from: readonly CpuCount[];
}

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

export function* unpackCounts(packed: Float64Array): Generator<UnpackedCount> {
  let at = 0;
  while (at < packed.length) {
    const address = packed[at++];
    const counts = noCounts();
    for (const name of COUNTS) counts[name] = packed[at++];
    const sources = packed[at++];
    const from = Array.from(
      { length: sources },
      (_, i): CpuCount => [packed[at + 2 * i], packed[at + 2 * i + 1]],
    );
    at += 2 * sources;
    yield { address, counts, from };
  }
}
