/** `smpsim walk`, `smpsim layout` and reports on processes, as a user runs them. */

import { describe, expect, test } from "vitest";
import { smpsim } from "../../support/cli.ts";
import * as grammar from "../../support/pid-grammar.ts";

describe("walk", () => {
  test("names places of the example, each with its command; one of them shows a fault and what comes of it", async () => {
    const list = await smpsim("walk", "--memory", "64MiB");
    expect(list.code).toBe(0);
    const [, address, pid] =
      /smpsim walk (0x[0-9a-f]{16}) --pid (\d+) --access write +the same for a write/.exec(list.stdout)!;
    const options = ["--pid", pid, "--access", "write", "--touch", "--memory", "64MiB", "--json"];
    const { code, stdout, stderr } = await smpsim("walk", address, ...options);
    expect([code, stderr]).toEqual([0, ""]);
    const answer = JSON.parse(stdout);
    expect(answer).toMatchObject({ pid: Number(pid), walk: { address, fault: { level: "PTE", code: 7 } } });
    expect(answer.walk.steps.map(({ name }: { name: string }) => name)).toEqual(["PGD", "PUD", "PMD", "PTE"]);
    expect(answer.touched).toMatchObject({ outcome: "done", faults: 1, walk: { fault: null } });
  });

  test.each([
    [["0xg"], 'walk: "0xg" is not valid; valid are addresses from 0 to 0xffffffffffffffff'],
    [["0x1000", "--access", "look"], '--access: "look" is not valid; valid are read, write, exec'],
    [["0x1000", "--by", "me"], '--by: "me" is not valid; valid are program, kernel'],
    [["0x1000", "--pid", "99", "--memory", "64MiB"], "walk: there is no process 99; valid are"],
  ])("%j is refused", async (words, message) => {
    const { code, stderr } = await smpsim("walk", ...words);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

describe("proc", () => {
  test("has processes of the example, and their files", async () => {
    const { stdout } = await smpsim("proc", "ps", "--memory", "64MiB", "--cpus", "1");
    const [, pid] = /^ *(\d+) /m.exec(stdout.split("\n").slice(1).join("\n"))!;
    const maps = await smpsim("proc", `${pid}/maps`, "--memory", "64MiB", "--cpus", "1");
    expect(maps.code).toBe(0);
    expect(grammar.parseMaps(maps.stdout).map(({ name }) => name)).toEqual(
      expect.arrayContaining(["/memfd: (deleted)", "[heap]", "/dev/zero (deleted)", "[stack]"]),
    );
  });

  test("a process that is not there, or a file that it has not, is refused", async () => {
    const missing = await smpsim("proc", "99/maps", "--memory", "64MiB", "--cpus", "1");
    expect([missing.code, missing.stderr]).toEqual([
      2,
      expect.stringContaining("there is no process 99; valid are"),
    ]);
    const odd = await smpsim("proc", "1/environ");
    expect([odd.code, odd.stderr]).toEqual([
      2,
      expect.stringContaining("there is no report 1/environ; valid are maps"),
    ]);
  });
});
