import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rankTest, ratioInterval } from "../../../src/experiment/rank-test.ts";

const positive = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 7 });

/** All ways to choose m of the values, by brute force: the definition of the exact test. */
function bruteForceP(first: readonly number[], second: readonly number[]): number {
  const all = [...first, ...second];
  const [n, m] = [first.length, second.length];
  const uOf = (chosen: ReadonlySet<number>): number => {
    let u = 0;
    for (const i of chosen) {
      for (let j = 0; j < all.length; j++) {
        if (!chosen.has(j)) u += all[i] > all[j] ? 1 : all[i] === all[j] ? 0.5 : 0;
      }
    }
    return u;
  };
  const distance = Math.abs(uOf(new Set(second.map((_, i) => n + i))) - (n * m) / 2);
  let [extreme, total] = [0, 0];
  for (let mask = 0; mask < 1 << all.length; mask++) {
    const chosen = new Set(all.keys().filter((i) => (mask >> i) & 1));
    if (chosen.size !== m) continue;
    total++;
    if (Math.abs(uOf(chosen) - (n * m) / 2) >= distance - 1e-9) extreme++;
  }
  return extreme / total;
}

describe("rank test", () => {
  test("three above three: one of twenty orders on each side", () => {
    expect(rankTest([1, 2, 3], [4, 5, 6])).toEqual({ u: 9, p: 0.1 });
    expect(rankTest([4, 5, 6], [1, 2, 3])).toEqual({ u: 0, p: 0.1 });
  });

  test("equal sets do not differ, and nothing can be said of none", () => {
    expect(rankTest([5, 5], [5, 5]).p).toBe(1);
    expect(rankTest([], [1]).p).toBe(1);
  });

  test("agrees with counting all choices, ties included", () => {
    fc.assert(
      fc.property(positive, positive, (a, b) => {
        fc.pre(a.length + b.length <= 10);
        expect(rankTest(a, b).p).toBeCloseTo(bruteForceP(a, b), 9);
      }),
      { numRuns: 60 },
    );
  });

  test("many samples: the normal approximation", () => {
    const first = Array.from({ length: 40 }, (_, i) => i);
    const { u, p } = rankTest(
      first,
      first.map((i) => i + 5.5),
    );
    // u - 800 - 0.5 over sqrt(40 * 40 * 81 / 12) is z = 1.9678, and beyond it lie 4.909 % on both sides.
    expect(u).toBe(1005);
    expect(p).toBeCloseTo(0.04909, 4);
  });
});

describe("ratio interval", () => {
  test("three against three at 90 % spans all quotients", () => {
    const interval = ratioInterval([100, 100, 100], [110, 120, 130], 0.9);
    expect(interval.ratio).toBeCloseTo(1.2);
    expect([interval.low, interval.high]).toEqual([1.1, 1.3]);
  });

  test("is unbounded when there are too few samples", () => {
    expect(ratioInterval([1], [2], 0.9)).toEqual({ ratio: 2, low: 0, high: Infinity });
    expect(ratioInterval([], [2], 0.9).ratio).toBeNaN();
    expect(ratioInterval([1, 2, 3], [4, 5, 6], 0.95).low).toBe(0);
  });

  test("leaves quotients off as samples grow: five against five at 90 % leave four a side", () => {
    const [a, b] = [
      [1, 1, 1, 1, 1],
      [1, 2, 3, 4, 5],
    ];
    const sorted = a.flatMap((x) => b.map((y) => y / x)).toSorted((x, y) => x - y);
    // Table of the distribution of U for 5 and 5: P(U <= 4) = 12 / 252 = 0.0476, P(U <= 5) = 19 / 252 = 0.075.
    const interval = ratioInterval(a, b, 0.9);
    expect([interval.low, interval.high]).toEqual([sorted[5 - 1], sorted[25 - 5]]);
  });

  test("excludes 1 at 90 % exactly when three and three do not overlap", () => {
    const three = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(three, three, (a, b) => {
        const { low, high } = ratioInterval(a, b, 0.9);
        const apart = Math.max(...a) < Math.min(...b) || Math.max(...b) < Math.min(...a);
        expect(low > 1 || high < 1).toBe(apart);
      }),
    );
  });

  test("turns over with its sides", () => {
    fc.assert(
      fc.property(positive, positive, (a, b) => {
        const [there, back] = [ratioInterval(a, b, 0.9), ratioInterval(b, a, 0.9)];
        expect(there.ratio * back.ratio).toBeCloseTo(1, 9);
        if (there.low > 0) expect(there.low * back.high).toBeCloseTo(1, 9);
      }),
    );
  });
});
