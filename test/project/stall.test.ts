/** A test whose thread is blocked is ended from outside, the others run, and each is counted once. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommand } from "../support/command.ts";
import { emptyFolder, projectFolder } from "../support/folder.ts";

test("vitest goes on after a blocked test", async () => {
  const counts = join(emptyFolder(), "counts");
  const vitest = join(projectFolder, "node_modules/vitest/vitest.mjs");
  const { code, stderr } = await runCommand(process.execPath, [vitest, "run"], {
    cwd: join(projectFolder, "test/project/stuck"),
    env: { SMPSIM_TEST_COUNTS: counts, VITEST: undefined },
  });
  expect(code).toBe(1);
  expect(stderr).toContain("STUCK  stuck.test.ts > blocks its thread");
  expect(readFileSync(counts, "utf8").trimEnd().split("\n").toSorted()).toEqual([
    "failed stuck.test.ts > blocks its thread",
    "passed after",
  ]);
});
