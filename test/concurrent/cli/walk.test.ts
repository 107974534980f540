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
    [["0x1000", "--pid", "99", "--memory", "64MiB"], "walk: there is no process 99; valid are"],
  ])("%j is refused", async (words, message) => {
    const { code, stderr } = await smpsim("walk", ...words);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

describe("proc", () => {
  test("has processes of the example, and their files", async () => {
    const { stdout } = await smpsim("proc", "ps", "--memory", "64MiB", "--cpus", "1");
    const [, pid] = /^ +- +(\d+) .*\(address space\)$/m.exec(stdout)!;
    const maps = await smpsim("proc", `${pid}/maps`, "--memory", "64MiB", "--cpus", "1");
    expect(maps.code).toBe(0);
    expect(grammar.parseMaps(maps.stdout).map(({ name }) => name)).toEqual(
      expect.arrayContaining(["/memfd: (deleted)", "[heap]", "/dev/zero (deleted)", "[stack]"]),
    );
  });

  test("a process that is not there is refused", async () => {
    const missing = await smpsim("proc", "99/maps", "--memory", "64MiB", "--cpus", "1");
    expect([missing.code, missing.stderr]).toEqual([
      2,
      expect.stringContaining("there is no process 99; valid are"),
    ]);
  });
});

describe("layout", () => {
  test("the map of x86-64, and with --pid the places of a process of the example", async () => {
    const { pid } = JSON.parse((await smpsim("walk", "--memory", "64MiB", "--json")).stdout)[0];
    const { code, stdout } = await smpsim("layout", "--pid", String(pid), "--memory", "64MiB");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}ffff888000000000 +ffffc87fffffffff +64 TiB +direct map/m);
    expect(stdout).toMatch(/^heap +0000000000410000 000000000041bfff +48 kB +grows up: brk$/m);
    expect(stdout).toMatch(/^stack +00007ffffffde000 00007fffffffefff +132 kB/m);
  });

  test.each([[["vax"], 'layout: "vax" is not valid; valid are x86-64, x86-32, arm64']])(
    "%j is refused",
    async (words, message) => {
      const { code, stderr } = await smpsim("layout", ...words);
      expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    },
  );
});

test("the processes that the help texts name are those of the example", async () => {
  for (const command of ["proc", "walk"]) {
    const { stdout } = await smpsim(command, "--help");
    const [, report] = /smpsim proc (\d+\/maps)/.exec(stdout)!;
    expect((await smpsim("proc", report, "--memory", "64MiB", "--cpus", "1")).code).toBe(0);
  }
});
