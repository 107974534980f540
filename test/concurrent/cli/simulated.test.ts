/** Simulated time from the command line: reports, the audit, both clocks side by side, stress. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Report } from "../../../src/experiment/report-model.ts";
import { COUNTER, smpsim } from "../../support/cli.ts";
import { emptyFolder } from "../../support/folder.ts";

const VIRTUAL = ["--mode", "virtual", "--memory", "16MiB"];
const UNREPEATABLE = COUNTER.replace("counter.ts", "unrepeatable.ts");

describe.concurrent("bench --mode virtual", () => {
  test("--audit finds each run the same twice; report, page and trace are by the simulated clock", async () => {
    const folder = emptyFolder();
    const [page, trace] = ["page.html", "trace.json"].map((name) => join(folder, name));
    const args = ["--cpus", "1,3", "--seconds", "0.0002", "--audit", "--check", "--json"];
    const { code, stdout } = await smpsim(
      "bench",
      "page-repeat",
      ...VIRTUAL,
      ...args,
      "--out",
      page,
      "--trace",
      trace,
    );
    expect(code).toBe(0);
    const [experiment] = (JSON.parse(stdout) as Report).experiments;
    expect(experiment).toMatchObject({
      mode: "virtual",
      seconds: 0.0002,
      repeats: 1,
      audit: { runs: 2, differences: [] },
      variants: [{ simulation: { profile: "xeon-gold-5320", clockGHz: 2.2 } }],
    });
    const { rows } = experiment.variants[0];
    expect(rows.map(({ cpus, oversubscribed }) => [cpus, oversubscribed])).toEqual([
      [1, false],
      [3, false],
    ]);
    for (const { elapsedNs } of rows.flatMap((row) => row.runs)) {
      expect(elapsedNs).toBeGreaterThan(190_000);
      expect(elapsedNs).toBeLessThan(300_000);
    }
    expect(readFileSync(page, "utf8")).toMatch(/cycles of xeon-gold-5320 at 2\.2 GHz/);
    const { otherData, traceEvents } = JSON.parse(readFileSync(trace, "utf8"));
    expect(otherData).toMatchObject({ mode: "virtual", clock: "simulated" });
    const phases = (traceEvents as { cat?: string; dur: number }[]).filter(({ cat }) => cat === "phase");
    expect(phases).toHaveLength(3);
    for (const { dur } of phases) expect(Math.abs(dur - 200)).toBeLessThan(20);
  });

  test("--audit of a program that asks the host ends with 1 and says what differs", async () => {
    const { code, stderr } = await smpsim("bench", UNREPEATABLE, ...VIRTUAL, "--cpus", "1", "--audit");
    expect(stderr).toMatch(/audit: runs were not the same twice:\n {2}.*1 CPU.*: CPU 0: clock, ns: \d/);
    expect(code).toBe(1);
  });

  test("stands beside a run by the host's clock, each with its own length", async () => {
    const args = ["--compare", "mode=parallel,virtual", "--cpus", "1,3", "--memory", "16MiB"];
    const { code, stdout } = await smpsim("bench", COUNTER, ...args, "--seconds", "0.05", "--repeats", "1");
    expect(stdout).toMatch(/CPUs +this computer ops\/s .* simulated xeon-gold-5320 ops\/sim\. s/);
    expect(stdout).toMatch(/Two clocks: /);
    expect(stdout).toMatch(
      /0\.05 s a run, median of 1 run ± median deviation, 0\.0005 simulated s a run, seed 1/,
    );
    expect(code).toBe(0);
  });
});

test("stress --mode virtual checks after each simulated round", async () => {
  const args = [...VIRTUAL, "--cpus", "3", "--seconds", "0.2", "--round-seconds", "0.0001"];
  const { code, stdout } = await smpsim("stress", "page-stress", ...args);
  expect(stdout).toMatch(/\d+ rounds?, .* operations in .* s: no fault\nchecked after each round: buddy, /);
  expect(code).toBe(0);
});
