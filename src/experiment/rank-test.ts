/**
 * Whether two sets of repeated runs differ, without assuming a distribution.
 *
 * The test is Mann and Whitney's (1947), its distribution exact with ties; the effect is Hodges and Lehmann's estimate
 * (1963) on ratios: the median of all pairwise quotients, and the interval got by inverting the test.  With three runs
 * on each side the interval of 90 % spans all quotients, so it excludes 1 exactly when the sides do not overlap.
 */

/** Above this many samples together the normal approximation is used: it is then good to three digits. */
const EXACT_LIMIT = 60;

export interface RankTest {
  /** Pairs in which the second set's value is larger, ties counted half. */
  readonly u: number;
  /** Two-sided probability of a difference this large between sets from one distribution. */
  readonly p: number;
}

export interface RatioInterval {
  /** Median of second over first, over all pairs. */
  readonly ratio: number;
  /** 0 and Infinity when there are too few samples for the confidence asked. */
  readonly low: number;
  readonly high: number;
}

export function rankTest(first: readonly number[], second: readonly number[]): RankTest {
  const [n, m] = [first.length, second.length];
  if (n === 0 || m === 0) return { u: 0, p: 1 };
  const ranks = doubledRanks([...first, ...second]);
  const sum = ranks.slice(n).reduce((a, b) => a + b, 0);
  const u = sum / 2 - (m * (m + 1)) / 2;
  const p = n + m <= EXACT_LIMIT ? exactP(ranks, m, sum) : normalP(ranks, n, m, u);
  return { u, p: Math.min(1, p) };
}

/** The ratio second / first of positive samples, with an interval of at least `confidence` (0.9 is 90 %). */
export function ratioInterval(
  first: readonly number[],
  second: readonly number[],
  confidence: number,
): RatioInterval {
  const ratios = first.flatMap((a) => second.map((b) => b / a)).toSorted((a, b) => a - b);
  const pairs = ratios.length;
  if (pairs === 0) return { ratio: Number.NaN, low: 0, high: Infinity };
  const cut = tailCut(first.length, second.length, 1 - confidence);
  const middle = pairs >> 1;
  return {
    ratio: pairs % 2 === 1 ? ratios[middle] : Math.sqrt(ratios[middle - 1] * ratios[middle]),
    low: cut === 0 ? 0 : ratios[cut - 1],
    high: cut === 0 ? Infinity : ratios[pairs - cut],
  };
}

/** Ranks from 1, ties sharing the mean of theirs, times two so that they are whole. */
function doubledRanks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).toSorted((i, j) => values[i] - values[j]);
  const ranks: number[] = new Array(values.length).fill(0);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let i = start; i < end; i++) ranks[order[i]] = start + 1 + end;
    start = end;
  }
  return ranks;
}

/** Share of all ways to choose `m` of the ranks whose sum lies as far from the middle as `sum`. */
function exactP(ranks: readonly number[], m: number, sum: number): number {
  const ways = sumDistribution(ranks, m);
  const middle = (ranks.reduce((a, b) => a + b, 0) * m) / ranks.length;
  const distance = Math.abs(sum - middle) - 1e-9;
  let extreme = 0;
  let all = 0;
  ways.forEach((count, s) => {
    all += count;
    if (Math.abs(s - middle) >= distance) extreme += count;
  });
  return extreme / all;
}

/** For each sum, in how many ways `m` of the whole numbers `values` add up to it. */
function sumDistribution(values: readonly number[], m: number): number[] {
  const total = values.reduce((a, b) => a + b, 0);
  const ways = Array.from({ length: m + 1 }, () => new Array<number>(total + 1).fill(0));
  ways[0][0] = 1;
  for (const value of values) {
    for (let k = m; k >= 1; k--) {
      for (let s = total; s >= value; s--) ways[k][s] += ways[k - 1][s - value];
    }
  }
  return ways[m];
}

function normalP(ranks: readonly number[], n: number, m: number, u: number): number {
  const size = n + m;
  const mean = (n * m) / 2;
  const counts = Map.groupBy(ranks, (rank) => rank)
    .values()
    .toArray()
    .map((group) => group.length);
  const ties = counts.reduce((sum, t) => sum + (t ** 3 - t), 0);
  const variance = ((n * m) / 12) * (size + 1 - ties / (size * (size - 1)));
  if (variance <= 0) return 1;
  const z = Math.max(0, Math.abs(u - mean) - 0.5) / Math.sqrt(variance);
  return 2 * upperTail(z);
}

/** Largest k with P(U < k) <= alpha / 2 under no difference: how many quotients to leave off on each side. */
function tailCut(n: number, m: number, alpha: number): number {
  if (n + m > EXACT_LIMIT) {
    const sd = Math.sqrt((n * m * (n + m + 1)) / 12);
    return Math.max(0, Math.floor((n * m) / 2 - normalQuantile(1 - alpha / 2) * sd));
  }
  const ranks = Array.from({ length: n + m }, (_, i) => i + 1);
  const ways = sumDistribution(ranks, m);
  const all = ways.reduce((a, b) => a + b, 0);
  const smallest = (m * (m + 1)) / 2;
  let below = 0;
  for (let k = 0; ; k++) {
    below += ways[smallest + k];
    if (below / all > alpha / 2 + 1e-12) return k;
  }
}

/** P(Z > z) for z >= 0: Abramowitz and Stegun 26.2.17, absolute error below 7.5e-8. */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const polynomial =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * polynomial;
}

/** The z with P(Z < z) = p, for p above one half, by bisection. */
function normalQuantile(p: number): number {
  let [low, high] = [0, 10];
  while (high - low > 1e-9) {
    const middle = (low + high) / 2;
    if (1 - upperTail(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}
