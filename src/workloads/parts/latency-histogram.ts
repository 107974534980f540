/**
 * Durations, counted in buckets that are 1.6 % wide, so that a percentile costs no memory for each sample.
 *
 * A duration of up to 2^31 ns (2.1 s) is an octave (the position of its top bit) and the six bits below; shorter ones
 * than 64 ns are exact.
 */

import type { Metric } from "../description.ts";

const SUB_BITS = 6;
const SUBS = 1 << SUB_BITS;
const LAST_NS = 0x7fff_ffff;

export class LatencyHistogram {
  private readonly counts: number[] = new Array(bucketOf(LAST_NS) + 1).fill(0);
  private total = 0;

  get samples(): number {
    return this.total;
  }

  record(ns: number): void {
    this.counts[bucketOf(ns < LAST_NS ? ns | 0 : LAST_NS)]++;
    this.total++;
  }

  /** The duration that `share` (0 to 1) of the samples do not exceed, to 1.6 %; 0 without samples. */
  percentile(share: number): number {
    let left = Math.ceil(share * this.total);
    for (let bucket = 0; bucket < this.counts.length; bucket++) {
      left -= this.counts[bucket];
      if (left <= 0 && this.counts[bucket] > 0) return middleOf(bucket);
    }
    return 0;
  }

  /** p50, p90 and p99 as metrics named `<name> p50` and so on. */
  metrics(name: string): Record<string, Metric> {
    const metric = (share: number): Metric => ({ value: this.percentile(share), unit: "ns" });
    return { [`${name} p50`]: metric(0.5), [`${name} p90`]: metric(0.9), [`${name} p99`]: metric(0.99) };
  }
}

function bucketOf(ns: number): number {
  const octave = 31 - Math.clz32(ns | 1) - SUB_BITS;
  return octave <= 0 ? ns : octave * SUBS + (ns >> octave);
}

function middleOf(bucket: number): number {
  const octave = Math.max(0, (bucket >> SUB_BITS) - 1);
  const low = (bucket - octave * SUBS) * 2 ** octave;
  return low + (2 ** octave - 1) / 2;
}
