/**
 * Order statistics of repeated runs: medians and spreads that one disturbed run does not move.
 *
 * Timings are skewed and have outliers, so nothing here assumes a normal distribution.
 */

/** What a set of samples says: its middle and how far it spreads. */
export interface Spread {
  readonly count: number;
  readonly median: number;
  /** Median absolute deviation from the median, unscaled. */
  readonly mad: number;
  readonly min: number;
  /** First and third quartile. */
  readonly low: number;
  readonly high: number;
  readonly max: number;
}

/** The spread of `samples`, in any order; all fields are NaN when there are none. */
export function spreadOf(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const median = quantile(sorted, 0.5);
  const deviations = sorted.map((value) => Math.abs(value - median)).toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    median,
    mad: quantile(deviations, 0.5),
    min: quantile(sorted, 0),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
    max: quantile(sorted, 1),
  };
}

export const medianOf = (samples: readonly number[]): number => spreadOf(samples).median;

/**
 * Quantile `p` of ascending samples, linear between neighbours: definition 7 of Hyndman and Fan, "Sample quantiles in
 * statistical packages" (1996), which most statistics software uses.  NaN when there are none.
 */
export function quantile(sorted: readonly number[], p: number): number {
  if (sorted.length === 0) return Number.NaN;
  const place = (sorted.length - 1) * p;
  const below = Math.floor(place);
  const above = Math.ceil(place);
  if (sorted[below] === sorted[above]) return sorted[below];
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

/** The spread relative to the middle, for "± 3 %"; NaN for fewer than two samples, which have none. */
export const relativeMad = (spread: Spread): number =>
  spread.count < 2 || spread.median === 0 ? Number.NaN : spread.mad / Math.abs(spread.median);
