/** `smpsim run` with programs that are wrong: what it says, and with which exit code. */

import { expect, test } from "vitest";
import { smpsim } from "../../support/cli.ts";

const MISTAKEN = "test/support/programs/mistaken.ts";
const run = (...words: string[]) => smpsim("run", ...words, "--cpus", "1", "--memory", "32MiB");

test("a program that a signal ends says so, and the exit code too", async () => {
  const { code, stdout, stderr } = await run(MISTAKEN, "0");
  expect(code).toBe(1);
  expect(stderr).toContain("main[1000]: SIGSEGV (MAPERR) at 0x1234");
  expect(stdout).toMatch(/1000 +main +SIGSEGV/);
});

test.each([
  [[MISTAKEN, "1"], 'there is no program "nobody" to begin with; valid are the exports main'],
  [
    ["examples/my-lock.ts"],
    'exports neither a function "run(kernel, options, shared)" nor a program "main(user)"',
  ],
  [["fork-and-copy"], 'run: "fork-and-copy" is no file'],
])("%j is refused", async (words, message) => {
  const { code, stdout, stderr } = await run(...words);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(message);
});
