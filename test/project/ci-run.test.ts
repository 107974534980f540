/** .ci/run counts what the tests wrote and is honest about runs that failed, hung or did nothing. */

import { chmodSync, cpSync } from "node:fs";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { runCommand } from "../support/command.ts";
import { emptyFolder, projectFolder, writeProgram } from "../support/folder.ts";

/** Runs .ci/run with a stand-in for npm; the last line that it prints, and its exit code. */
async function ciRun(
  npm: string,
  limit = "20s",
): Promise<{ code: number | null; last: string; before: string }> {
  const folder = emptyFolder();
  cpSync(join(projectFolder, ".ci/run"), join(folder, ".ci/run"));
  chmodSync(join(folder, ".ci/run"), 0o755);
  writeProgram(folder, "bin/npm", `#!/bin/sh\n${npm}\n`);
  const env = { PATH: `${join(folder, "bin")}${delimiter}${process.env.PATH}`, SMPSIM_CI_LIMIT: limit };
  const { code, stdout } = await runCommand(join(folder, ".ci/run"), [], { env });
  const lines = stdout.trimEnd().split("\n");
  return { code, last: lines.at(-1) ?? "", before: lines.at(-2) ?? "" };
}

const write = (...outcomes: string[]) =>
  outcomes.map((text) => `echo "${text}" >> "$SMPSIM_TEST_COUNTS"`).join("\n");

test("all passed, over several runs of vitest", async () => {
  const npm = `[ "$CI $1" = "true test" ] || exit 9\n${write("passed a", "passed b")}\n${write("passed c")}`;
  expect(await ciRun(npm)).toMatchObject({ code: 0, last: "3 passed, 0 failed" });
});

test("one failed", async () => {
  const npm = `${write("passed a", "failed b", "passed failed c")}\nexit 1`;
  expect(await ciRun(npm)).toMatchObject({ code: 1, last: "2 passed, 1 failed" });
});

test("one failed, but the command says that all is well", async () => {
  expect(await ciRun(write("passed a", "failed b"))).toMatchObject({ code: 1, last: "1 passed, 1 failed" });
});

test("skipped tests are told", async () => {
  const npm = write("passed a", "skipped b");
  expect(await ciRun(npm)).toMatchObject({ code: 0, last: "1 passed, 0 failed, 1 skipped" });
});

test("a failure outside any test, such as a type error", async () => {
  const { code, last, before } = await ciRun("exit 2");
  expect([code, last]).toEqual([1, "0 passed, 1 failed"]);
  expect(before).toContain("ended with exit code 2 outside any test");
});

test("no test ran", async () => {
  const { code, last, before } = await ciRun("true");
  expect([code, last]).toEqual([1, "0 passed, 1 failed"]);
  expect(before).toContain("no test ran");
});

test("the time is up", async () => {
  const { code, last, before } = await ciRun(`${write("passed a")}\nexec sleep 30`, "1s");
  expect([code, last]).toEqual([1, "1 passed, 1 failed"]);
  expect(before).toContain("stopped after 1s");
});
