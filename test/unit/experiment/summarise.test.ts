import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { phaseSamples } from "../../../src/experiment/phase-metrics.ts";
import { relateRows, summariseRow } from "../../../src/experiment/summarise.ts";
import { evenShares, lockResult, runResult } from "../../support/run-results.ts";

const rowOf = (cpus: number, operations: number) =>
  summariseRow([runResult(evenShares(cpus, operations, 1e9), { hostCores: 4, tokens: Math.min(4, cpus) })]);

describe("a phase", () => {
  test("counts all operations over the longest time, and costs the time of its own CPUs", () => {
    const [phase] = phaseSamples(
      runResult({
        get: [
          [1000, 1e6],
          [500, 2e6],
        ],
      }),
    );
    expect(phase).toMatchObject({ name: "get", operations: 1500, elapsedNs: 2e6 });
    expect(phase.opsPerSecond).toBeCloseTo(750_000);
    expect(phase.nsPerOp).toBeCloseTo(2000);
    // 1,000,000 against 250,000 a second.
    expect(phase.fairness).toBeCloseTo(0.25);
  });

  test("shows a starved CPU as fairness 0 and does not charge its time to the others", () => {
    const [phase] = phaseSamples(
      runResult({
        get: [
          [1000, 1e6],
          [0, 1e6],
        ],
      }),
    );
    expect(phase).toMatchObject({ fairness: 0, nsPerOp: 1000 });
  });

  test("without operations or time is no sample", () => {
    expect(phaseSamples(runResult({ get: [[0, 1e6]], put: [[5, 0]] }))).toEqual([]);
  });

  test("is fair between 0 and 1, and throughput is at most the sum of the CPUs' rates", () => {
    const share = fc.tuple(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1e9 }));
    fc.assert(
      fc.property(fc.array(share, { minLength: 1, maxLength: 8 }), (get) => {
        const [phase] = phaseSamples(runResult({ get }));
        expect(phase.fairness).toBeGreaterThan(0);
        expect(phase.fairness).toBeLessThanOrEqual(1);
        const rates = get.reduce((sum, [operations, ns]) => sum + (operations / ns) * 1e9, 0);
        expect(phase.opsPerSecond).toBeLessThanOrEqual(rates * (1 + 1e-12));
      }),
    );
  });
});

describe("a row", () => {
  test("is the median of its runs", () => {
    const row = summariseRow([100, 300, 200].map((n) => runResult(evenShares(2, n, 1e9))));
    expect(row.phases[0].opsPerSecond.median).toBeCloseTo(400);
    expect(row.phases[0].opsPerSecondPerCpu).toBeCloseTo(200);
    expect(row.phases[0].perCpu).toEqual([200, 200]);
    expect(row.runs.map((run) => run.parks)).toEqual([4, 4, 4]);
  });

  test("keeps a run that was cut short only when it has no whole one", () => {
    const whole = runResult(evenShares(1, 100, 1e9));
    const cut = runResult(evenShares(1, 9, 1e7), { interrupted: true });
    expect(summariseRow([whole, cut]).runs).toHaveLength(1);
    expect(summariseRow([cut]).runs[0]).toMatchObject({ cutShort: true });
  });

  test.each([
    ["more CPUs than host cores", { hostCores: 2, tokens: 4 }, true],
    ["fewer run tokens than CPUs", { hostCores: 8, tokens: 2 }, true],
    ["enough of both", { hostCores: 4, tokens: 4 }, false],
    ["simulated time", { mode: "virtual" as const, hostCores: 1, tokens: 1 }, false],
  ])("is oversubscribed with %s: %o", (_, changes, expected) => {
    expect(summariseRow([runResult(evenShares(4, 1, 1), changes)]).oversubscribed).toBe(expected);
  });

  test("adds up locks over runs; the share is of all CPU time", () => {
    const locks = [lockResult("zone.lock", { waitNs: 4e8 }), lockResult("pcp.lock", { waitNs: 1 })];
    const run = runResult(evenShares(2, 10, 1e9), { locks });
    const row = summariseRow([run, run]);
    expect(row.locks.map((lock) => lock.name)).toEqual(["zone.lock", "pcp.lock"]);
    expect(row.locks[0]).toMatchObject({ acquisitions: 200, contended: 20, waitMaxNs: 900 });
    expect(row.locks[0].waitShare).toBeCloseTo(0.2);
  });

  test("adds up interrupts, and keeps the fault", () => {
    const fault = { kind: "bug", cpu: 1, message: "broken", stack: "", report: "" } as const;
    const row = summariseRow([
      runResult(evenShares(1, 1, 1), { interrupts: { CAL: 2 } }),
      runResult({}, { interrupts: { CAL: 3, LOC: 1 }, fault }),
    ]);
    expect(row.interrupts).toEqual({ CAL: 5, LOC: 1 });
    expect(row.fault).toEqual(fault);
  });

  test("collects the workload's own figures over CPUs and runs", () => {
    const run = runResult(evenShares(1, 1, 1));
    const value = { metrics: { "round trip": { value: 700, unit: "ns" } } };
    const withMetric = { ...run, cpuResults: run.cpuResults.map((cpu) => ({ ...cpu, value })) };
    expect(summariseRow([withMetric, run]).metrics).toMatchObject([
      { name: "round trip", unit: "ns", spread: { count: 1, median: 700 } },
    ]);
  });
});

test("a CPU that takes no part in a phase has no rate there", () => {
  const run = runResult({
    get: [
      [10, 1e9],
      [10, 1e9],
    ],
  });
  const [first, second] = run.cpuResults;
  const alone = { ...run, cpuResults: [first, { ...second, phases: [] }] };
  expect(summariseRow([alone]).phases[0].perCpu).toEqual([10, null]);
});

describe("rows", () => {
  test("are related to the one with the fewest CPUs; the ideal ends with the host", () => {
    const rows = relateRows([rowOf(1, 100), rowOf(2, 90), rowOf(8, 30)], "parallel");
    const figures = rows.map(({ phases: [p] }) => [p.speedUp, p.ideal, p.baseCpus]);
    expect(figures).toEqual([
      [1, 1, 1],
      [1.8, 2, 1],
      [2.4, 4, 1],
    ]);
  });

  test("that start at 2 CPUs are related to those", () => {
    const [, four] = relateRows([rowOf(2, 100), rowOf(4, 100)], "parallel");
    expect(four.phases[0]).toMatchObject({ speedUp: 2, ideal: 2, baseCpus: 2 });
  });

  test("in simulated time have no end of the host", () => {
    const [, eight] = relateRows([rowOf(1, 100), rowOf(8, 100)], "virtual");
    expect(eight.phases[0]).toMatchObject({ speedUp: 8, ideal: 8 });
  });
});
