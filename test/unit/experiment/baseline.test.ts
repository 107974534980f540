import { describe, expect, test } from "vitest";
import { compareWithBaseline, verdictOf } from "../../../src/experiment/baseline.ts";
import { jsonOf, parseReport } from "../../../src/experiment/report-file.ts";
import { evenShares, reportOf, runResult } from "../../support/run-results.ts";

const runs = (...rates: number[]) => rates.map((rate) => runResult(evenShares(1, rate, 1e9)));
const verdict = (before: number[], after: number[]) =>
  compareWithBaseline(reportOf([runs(...after)]), reportOf([runs(...before)])).rows[0].verdict;

describe("verdict", () => {
  test.each([
    ["all runs above all old ones, and by more than 5 %", [100, 101, 102], [110, 111, 112], "faster"],
    ["all runs below", [110, 111, 112], [100, 101, 102], "slower"],
    ["apart, but by less than the threshold", [1000, 1001, 1002], [1010, 1011, 1012], "same"],
    ["overlapping within the threshold", [100, 101, 102], [100, 101, 102], "same"],
    ["overlapping and wide", [100, 150, 200], [120, 180, 190], "unclear"],
    ["one run a side: nothing can be said", [100], [200], "unclear"],
  ] as const)("%s", (_, before, after, expected) => {
    expect(verdict([...before], [...after])).toBe(expected);
  });

  test("needs the ratio beyond the threshold, not only the interval beyond 1", () => {
    expect(verdictOf({ ratio: 1.04, low: 1.01, high: 1.09 }, 0.05)).toBe("unclear");
    expect(verdictOf({ ratio: 1.04, low: 1.01, high: 1.09 }, 0.03)).toBe("faster");
  });
});

describe("comparison", () => {
  test("survives JSON, and shows ratio, interval and probability", () => {
    const old = parseReport(jsonOf(reportOf([runs(100, 100, 100)])), "old.json");
    const { rows, warnings } = compareWithBaseline(reportOf([runs(200, 220, 240)]), old);
    expect(rows[0]).toMatchObject({ cpus: 1, phase: "get", low: 2, high: 2.4, p: 0.1, verdict: "faster" });
    expect(rows[0].ratio).toBeCloseTo(2.2);
    expect(warnings).toEqual([]);
  });

  test("warns of another host, other settings and rows without a partner", () => {
    const old = structuredClone(reportOf([runs(1)])) as unknown as {
      host: { cores: number };
      experiments: { seconds: number }[];
    };
    old.host.cores = 64;
    Object.assign(old.experiments[0], { seconds: 9, othersShare: 0.5 });
    const two = [runResult(evenShares(2, 1, 1e9))];
    const { rows, warnings } = compareWithBaseline(
      reportOf([runs(1), two]),
      parseReport(jsonOf(old), "old.json"),
    );
    expect(rows).toHaveLength(1);
    expect(warnings.join("\n")).toMatch(/host cores differs: 64 in the baseline, 2 here/);
    expect(warnings.join("\n")).toMatch(/seconds differ: 9 in the baseline, 1 here/);
    expect(warnings.join("\n")).toMatch(/page-bulk, the baseline: other programs used 50 %/);
    expect(warnings.join("\n")).toMatch(/page-bulk get with 2 CPUs is not in the baseline/);
  });

  test.each([
    ["{", /old.json is not JSON/],
    ["null", /old.json is not a report: it needs "format"/],
    ['{"format":"smpsim-report","version":7}', /version 7; valid is version 1/],
    ['{"format":"smpsim-report","version":1}', /no list of experiments/],
  ])("refuses %s", (text, message) => {
    expect(() => parseReport(text, "old.json")).toThrow(message);
  });
});
