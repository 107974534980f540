/** Ctrl-C: what was measured is printed, a doubled SIGINT counts once, a later one ends at once. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Report } from "../../../src/experiment/report-model.ts";
import { COUNTER, startSmpsim } from "../../support/cli.ts";

/** Runs the command until stderr says `word`, sends the signals, and waits for its end. */
async function interrupted(
  args: readonly string[],
  word: RegExp,
  signals: readonly (NodeJS.Signals | number)[],
) {
  const child = startSmpsim(...args);
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  await new Promise<void>((resolve) => {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      if (word.test(stderr)) resolve();
    });
    child.on("close", () => resolve());
  });
  for (const signal of signals) {
    if (typeof signal === "number") await sleep(signal);
    else child.kill(signal);
  }
  return { code: await ended, stdout, stderr };
}

const LONG = ["--memory", "16MiB", "--repeats", "1", "--json"];

test("bench keeps the rows that it has, and the cut-short run of the last", async () => {
  const args = ["bench", COUNTER, "--cpus", "1,2", "--seconds", "2", ...LONG];
  // The second row begins after the first has run for two seconds; npm sends each Ctrl-C twice.
  const { code, stdout, stderr } = await interrupted(args, /2 CPUs/, [600, "SIGINT", 20, "SIGINT"]);
  expect(stderr).toMatch(/stopping: what was measured is kept/);
  const [experiment] = (JSON.parse(stdout) as Report).experiments;
  expect(experiment.interrupted).toBe(true);
  const [one, two] = experiment.variants[0].rows;
  expect(one.runs[0]).toMatchObject({ cutShort: false });
  // The signal may arrive in the warm-up of the second row, or before its run has done anything, or in it.
  for (const run of two?.runs ?? []) expect(run).toMatchObject({ cutShort: true });
  expect(code).toBe(130);
});

test("stress prints its rounds so far", async () => {
  const args = ["stress", COUNTER, "--cpus", "2", "--seconds", "60", "--memory", "16MiB", "--json"];
  const { code, stdout } = await interrupted(args, /seed 1/, [1000, "SIGTERM"]);
  expect(JSON.parse(stdout)).toMatchObject({ interrupted: true, fault: null });
  expect(code).toBe(143);
});

test("a later Ctrl-C ends at once", async () => {
  const stuck = COUNTER.replace("counter.ts", "misbehave.ts");
  const args = ["bench", stuck, "--set", "how=loop", "--cpus", "1", "--seconds", "60", "--memory", "16MiB"];
  const { code, stdout } = await interrupted(args, /1 CPU/, [500, "SIGINT", 900, "SIGINT"]);
  expect(stdout).toBe("");
  expect(code).toBe(130);
});
