/** Reports of simulated time say so wherever a figure stands, and do not relate the two clocks' rates. */
import { describe, expect, test } from "vitest";
import { conditionsOf, simulationNotes } from "../../../src/experiment/clock-words.ts";
import { htmlReport } from "../../../src/experiment/html.ts";
import type { Experiment, VariantResult } from "../../../src/experiment/report-model.ts";
import { lockTable, scalingTables, tableNotes } from "../../../src/experiment/report-tables.ts";
import { relateRows, summariseRow } from "../../../src/experiment/summarise.ts";
import { evenShares, lockResult, reportOf, runResult } from "../../support/run-results.ts";

const simulated = (cpus: readonly number[], label = ""): VariantResult => ({
  label,
  settings: label === "" ? {} : { mode: "virtual" },
  mode: "virtual",
  simulation: { profile: "mini", description: "a small machine", clockGHz: 2, maxCpus: 4 },
  seconds: 0.001,
  repeats: 1,
  rows: relateRows(
    cpus.map((n) => {
      const locks = [lockResult("a", { waitNs: n * 1e5 }), lockResult("b", { waitNs: n * 2e5 })];
      return summariseRow([runResult(evenShares(n, 1000 / n, 1e6), { mode: "virtual", locks })]);
    }),
    "virtual",
  ),
});

function experimentOf(variants: readonly VariantResult[]): Experiment {
  const [experiment] = reportOf([[runResult(evenShares(1, 100, 1e9))]]).experiments;
  return { ...experiment, mode: variants[0].mode, variants };
}

describe("an experiment in simulated time", () => {
  const experiment = experimentOf([simulated([1, 2, 8])]);
  const [table] = scalingTables(experiment);

  test("names the clock in title and columns, has no deviation of a single run, and marks larger machines", () => {
    expect(table.title).toBe("page-bulk, in simulated time");
    expect(table.columns).toEqual([
      "CPUs",
      "ops/sim. s",
      "ops/sim. s per CPU",
      "sim. ns/op",
      "speed-up",
      "ideal",
      "fairness",
      "most waited for",
      "all locks",
      "sim. run",
    ]);
    expect(table.rows.map(({ cells, dimmed }) => [cells[0], dimmed])).toEqual([
      ["1", false],
      ["2", false],
      ["8+", false],
    ]);
    expect(table.rows[2].cells.slice(-3)).toEqual(["b 20.0 %", "30.0 %", "1.00 ms"]);
    expect(lockTable(experiment)?.columns).toContain("share of sim. CPU time waiting");
  });

  test("says which machine it is and how to read it, and nothing of host cores", () => {
    const notes = tableNotes(experiment);
    expect(notes).toEqual(simulationNotes(experiment));
    expect(notes[0]).toMatch(/^Simulated time \(sim\.\): cycles of mini at 2 GHz \(a small machine\)/);
    expect(notes[1]).toMatch(/^\+ larger than the real machine: mini has 4 CPUs/);
    const line = conditionsOf(experiment).join(", ");
    expect(line).toMatch(
      /simulated machine mini at 2 GHz.* 0.001 simulated s a run, seed 1, took 2.0 s and up to 256 MiB/,
    );
    expect(line).not.toMatch(/median/);
  });

  test("has a plot with the end of the real machine, and no star", () => {
    const page = htmlReport({ ...reportOf([]), experiments: [experiment] });
    expect(page).toContain("Throughput: operations a simulated second");
    expect(page).toContain("mini: 4 CPUs");
    expect(page).not.toMatch(/host cores?: oversubscribed|oversubscribed: not scaling/);
  });
});

describe("an experiment by both clocks", () => {
  const host: VariantResult = {
    ...reportOf([[runResult(evenShares(1, 100, 1e9))], [runResult(evenShares(2, 100, 1e9))]]).experiments[0]
      .variants[0],
    label: "this computer",
    settings: { mode: "parallel" },
  };
  const experiment = experimentOf([host, simulated([1, 2, 4], "simulated mini")]);

  test("names each column's clock, leaves out what one did not run, and has no ratio of rates", () => {
    const [{ columns, rows }] = scalingTables(experiment);
    expect(columns).toEqual([
      "CPUs",
      "this computer ops/s",
      "ns/op",
      "±",
      "speed-up",
      "simulated mini ops/sim. s",
      "sim. ns/op",
      "speed-up",
    ]);
    expect(rows[2].cells).toEqual(["4", "-", "-", "-", "-", "1.00 M", "4.00 µs", "1.00"]);
    expect(tableNotes(experiment).join("\n")).toMatch(/Two clocks: .*compare speed-ups/);
  });

  test("draws speed-ups, since rates by two clocks share no axis", () => {
    const page = htmlReport({ ...reportOf([]), experiments: [experiment] });
    expect(page).toContain("Speed-up over the fewest CPUs, each by its own clock");
    expect(page).toContain("this computer");
    expect(page).toContain("simulated mini");
    const titles = [...page.matchAll(/<title>([^<]*ops\/[^<]*)<\/title>/g)].map((match) => match[1]);
    expect(titles).toContain("simulated mini, 4 CPUs: 1.00 M ops/sim. s, 4.00 µs per operation");
    expect(titles).toContain("this computer, 2 CPUs: 200 ops/s, 10.0 ms per operation");
  });
});
