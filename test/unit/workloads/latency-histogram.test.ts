import { expect, test } from "vitest";
import { LatencyHistogram } from "../../../src/workloads/parts/latency-histogram.ts";

test("short durations are exact", () => {
  const histogram = new LatencyHistogram();
  for (let ns = 1; ns <= 100; ns++) histogram.record(ns);
  expect(histogram.samples).toBe(100);
  expect(histogram.percentile(0.5)).toBe(50);
  expect(histogram.percentile(0.01)).toBe(1);
});

test("long ones are right to 1.6 percent, and the longest is not lost", () => {
  for (const ns of [63, 64, 65, 127, 128, 1000, 12_345, 1e6 + 1, 2 ** 30, 2 ** 31 - 1]) {
    const histogram = new LatencyHistogram();
    histogram.record(ns);
    expect(Math.abs(histogram.percentile(0.5) - ns) / ns, String(ns)).toBeLessThan(0.016);
  }
  const histogram = new LatencyHistogram();
  histogram.record(1e12);
  expect(histogram.percentile(1)).toBeGreaterThan(2.1e9);
});

test("percentiles cut where they should", () => {
  const histogram = new LatencyHistogram();
  expect(histogram.percentile(0.5)).toBe(0);
  for (let i = 0; i < 99; i++) histogram.record(10);
  histogram.record(5000);
  expect(histogram.metrics("wait")["wait p99"]).toEqual({ value: 10, unit: "ns" });
  expect(histogram.percentile(0.995)).toBeGreaterThan(4900);
});
