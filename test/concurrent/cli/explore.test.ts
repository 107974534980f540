/** Exploring and replaying from the command line. */
import { expect, test } from "vitest";
import { smpsim, startSmpsim } from "../../support/cli.ts";

const TORN = ["explore", "lost-update", "--mutant", "lost-update-torn", "--seed", "3"];

test("a healthy scenario stays clean; speed and executed places are told", async () => {
  const { code, stdout } = await smpsim("explore", "lost-update", "--runs", "300", "--audit");
  expect(stdout).toMatch(/300 executions of 300, .* steps in .* executions\/s, .* steps\/s/);
  expect(stdout).toMatch(/places of defects that were executed: .*lost-update-torn/);
  expect(stdout).toMatch(/no failure; every schedule ran the same way twice/);
  expect(code).toBe(0);
});

test("a mutant is found, and its schedule replays every time, with the steps in columns", async () => {
  const found = await smpsim(...TORN, "--json");
  expect(found.code).toBe(1);
  const { failure, mutants } = JSON.parse(found.stdout);
  expect(mutants).toEqual(["lost-update-torn"]);
  const again = await smpsim("replay", failure.schedule, "--times", "5");
  expect(again.stdout).toMatch(/step \| cpu 0 .*\| cpu 1 .*\| where/);
  expect(again.stdout).toMatch(/write counter\.value/);
  expect(again.stdout).toMatch(/reproduced 5 times of 5/);
  expect(again.code).toBe(1);
});

test("without a scenario the scenarios are listed, as JSON too", async () => {
  const { stdout } = await smpsim("explore");
  expect(stdout).toMatch(/lost-update +every CPU adds to one counter/);
  const list = JSON.parse((await smpsim("explore", "--json")).stdout);
  expect(list[0]).toMatchObject({ name: expect.any(String), mutants: expect.any(Array) });
});

test.each<[string[], RegExp]>([
  [["explore", "lost-updat"], /there is no scenario "lost-updat" \(did you mean lost-update\?\); valid are /],
  [["explore", "./none.ts"], /there is no file .*none.ts/],
  [["explore", "lost-update", "--mutant", "none"], /"none" is not one of .*; valid are lost-update-torn/],
  [
    ["explore", "lost-update", "--strategy", "dfs"],
    /strategy: "dfs" is not valid; valid are random, pct, both/,
  ],
  [
    ["explore", "lost-update", "--depth", "99"],
    /--depth: "99" is not valid; valid are whole numbers from 1 to 10/,
  ],
  [["explore", "lost-update", "--runs", "0"], /--runs: "0" is not valid/],
  [["replay", "nonsense"], /does not begin with "smp1:"/],
])("%j is refused", async (args, message) => {
  const { code, stdout, stderr } = await smpsim(...args);
  expect(stderr).toMatch(message);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
});

test("Ctrl-C ends a campaign after its present execution and keeps the count", async () => {
  const child = startSmpsim("explore", "lost-update", "--runs", "2000000000", "--json");
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  const ended = new Promise((resolve) => {
    child.on("close", resolve);
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (stderr === "") child.kill("SIGINT");
    stderr += text;
  });
  expect(await ended).toBe(130);
  expect(stderr).toMatch(/^explore lost-update: under way, /);
  const result = JSON.parse(stdout);
  expect(result).toMatchObject({ interrupted: true, failure: null });
  expect(result.executions).toBeGreaterThan(0);
});
