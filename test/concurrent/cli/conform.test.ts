/** `smpsim conform`, as a user runs it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { smpsim } from "../../support/cli.ts";
import { emptyFolder, projectFolder } from "../../support/folder.ts";

const TRACE = join(projectFolder, "test", "oracle", "vmfuzz", "anon-3.jsonl");

test("a trace of a real kernel replays without a difference", async () => {
  const { code, stdout } = await smpsim("conform", TRACE);
  expect(stdout).toContain("ok    anon-3.jsonl: 120 records");
  expect(stdout).toContain("1 of 1 traces are equal throughout");
  expect(code).toBe(0);
});

test("the first difference is shown, and the exit code is 1; --json has the same", async () => {
  const file = join(emptyFolder(), "changed.jsonl");
  writeFileSync(file, readFileSync(TRACE, "utf8").replace('"ret":{"ok":0}', '"ret":{"errno":"ENOMEM"}'));
  const { code, stdout } = await smpsim("conform", file, TRACE, "--json");
  expect(code).toBe(1);
  const { equal, traces } = JSON.parse(stdout);
  expect(equal).toBe(1);
  expect(traces[0].difference).toMatchObject({
    field: "ret",
    expected: '{"errno":"ENOMEM"}',
    got: '{"ok":0}',
  });
});

test("a file that cannot be read is refused", async () => {
  const { code, stderr } = await smpsim("conform", "no-such-trace.jsonl");
  expect([code, stderr]).toEqual([2, expect.stringContaining("no-such-trace.jsonl cannot be read")]);
});
