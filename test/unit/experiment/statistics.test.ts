import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quantile, relativeMad, spreadOf } from "../../../src/experiment/statistics.ts";

const numbers = fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }), { minLength: 1, maxLength: 40 });

describe("spread", () => {
  test("of hand-computed samples", () => {
    // Sorted 1 2 4 7 11; deviations from 4: 0 2 3 3 7.
    expect(spreadOf([11, 1, 7, 2, 4])).toEqual({
      count: 5,
      median: 4,
      mad: 3,
      min: 1,
      low: 2,
      high: 7,
      max: 11,
    });
  });

  test("of an even number of samples lies between the middle two", () => {
    expect(spreadOf([1, 2, 3, 4])).toMatchObject({ median: 2.5, low: 1.75, high: 3.25, mad: 1 });
  });

  test("of nothing is NaN, and so is a relative spread around 0 or of one sample", () => {
    expect(spreadOf([]).median).toBeNaN();
    expect(relativeMad(spreadOf([0, 0]))).toBeNaN();
    expect(relativeMad(spreadOf([7]))).toBeNaN();
    expect(relativeMad(spreadOf([90, 100, 110]))).toBeCloseTo(0.1);
  });

  test("is ordered, and moves and scales with its samples", () => {
    fc.assert(
      fc.property(numbers, fc.integer({ min: 1, max: 50 }), fc.integer({ min: -9, max: 9 }), (xs, k, d) => {
        const s = spreadOf(xs);
        expect(s.min).toBeLessThanOrEqual(s.low);
        expect(s.low).toBeLessThanOrEqual(s.median);
        expect(s.median).toBeLessThanOrEqual(s.high);
        expect(s.high).toBeLessThanOrEqual(s.max);
        const moved = spreadOf(xs.map((x) => k * x + d));
        expect(moved.median).toBeCloseTo(k * s.median + d, 6);
        expect(moved.mad).toBeCloseTo(k * s.mad, 6);
      }),
    );
  });

  test("is not moved by one wild sample among many", () => {
    expect(spreadOf([10, 10, 10, 11, 1e9]).median).toBe(10);
    expect(spreadOf([10, 10, 10, 11, 1e9]).mad).toBe(0);
  });
});

test("quantiles run from the smallest to the largest sample", () => {
  expect(quantile([5], 0.3)).toBe(5);
  expect(quantile([1, 3], 0.25)).toBe(1.5);
  expect([0, 1].map((p) => quantile([2, 8, 9], p))).toEqual([2, 9]);
});
