/** `smpsim run`, as a user runs it. */

import { expect, test } from "vitest";
import { smpsim } from "../../support/cli.ts";

test("a user program's lines, then its tasks with how they ended", async () => {
  const { code, stdout } = await smpsim("run", "examples/fork-and-copy.ts", "--cpus", "2");
  expect(stdout).toContain("parent 1000: child 1001 ended with 3, and here is 42\n");
  expect(stdout).toMatch(/1000 +main +exit 0 +1 /);
  expect(stdout).toMatch(/1001 +child +exit 3 +1 /);
  expect(stdout).toMatch(/\d+ context switches; interrupts between CPUs: \d+ to reschedule, \d+ calls/);
  expect(code).toBe(0);
});

test("integers reach main, and --json has all of it", async () => {
  const { code, stdout } = await smpsim(
    "run",
    "examples/threads.ts",
    "2",
    "7",
    "--mode",
    "virtual",
    "--json",
  );
  const { lines, ends, switches } = JSON.parse(stdout);
  expect(lines[0].text).toMatch(/^with the lock 14 of 14/);
  expect(ends.map(({ name }: { name: string }) => name)).toEqual(["main", "adder", "adder"]);
  expect(switches).toBeGreaterThan(2);
  expect(code).toBe(0);
});

test("a deadlock is a fault, and names who waits", async () => {
  const { code, stderr } = await smpsim("run", "test/support/programs/plain-deadlock.ts", "--cpus", "1");
  expect(stderr).toContain("deadlock: all CPUs idle, and tasks wait that nobody can wake: main[1000]");
  expect(code).toBe(1);
});

test("a program that a signal ends says so, and the exit code too", async () => {
  const { code, stdout, stderr } = await smpsim(
    "run",
    "test/support/programs/mistaken.ts",
    "0",
    "--cpus",
    "1",
  );
  expect(stderr).toContain("main[1000]: SIGSEGV (MAPERR) at 0x1234");
  expect(stdout).toMatch(/1000 +main +SIGSEGV/);
  expect(code).toBe(1);
});

test.each([
  [
    ["run", "test/support/programs/mistaken.ts", "1"],
    'there is no program "nobody" to begin with; valid are the exports main',
  ],
  [["run", "examples/my-lock.ts"], "exports neither a function"],
  [["run", "nothing"], '"nothing" is no file'],
  [["run", "./no-such-program.ts"], "there is no file"],
  [["run", "examples/threads.ts", "1.5"], '"1.5" is not valid; valid are up to 6 integers'],
  [["run", "examples/first-experiment.ts", "--seconds", "0.05"], "is a kernel module"],
])("%j is refused", async (args, message) => {
  const { code, stderr } = await smpsim(...args);
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
});
