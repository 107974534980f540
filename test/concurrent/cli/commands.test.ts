/** Each command as a user runs it: what goes to stdout, what to stderr, and the exit code. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Report } from "../../../src/experiment/report-model.ts";
import { COUNTER, smpsim } from "../../support/cli.ts";
import { emptyFolder, projectFolder } from "../../support/folder.ts";

/** More CPUs than this host can run at once. */
const MANY = Math.min(256, Math.max(3, 2 * availableParallelism()));
/** In operations: a busy host may let no CPU run for as many milliseconds as a short run would take. */
const QUICK = ["--operations", "2000", "--repeats", "2", "--memory", "16MiB"];

describe("help", () => {
  test("of every command has examples and goes to stdout", async () => {
    const main = await smpsim("--help");
    expect(main).toMatchObject({ code: 0, stderr: "" });
    const names = [...main.stdout.matchAll(/^ {2}(\w+) .*\[options\]/gm)].map((match) => match[1]);
    expect(names).toEqual(expect.arrayContaining(["boot", "bench", "stress"]));
    for (const name of names) {
      const { code, stdout } = await smpsim(name, "--help");
      expect({ name, code }).toEqual({ name, code: 0 });
      expect(stdout).toMatch(/Examples:\n {2}(smpsim|npm) /);
    }
  });

  test("without a command is shown, as wrong usage; --version is the package's", async () => {
    expect(await smpsim()).toMatchObject({ code: 2, stdout: "" });
    expect(await smpsim("--version")).toMatchObject({ code: 0, stdout: "0.1.0\n" });
  });
});

describe("boot", () => {
  test("prints the kernel's log; --check runs the invariants", async () => {
    const { code, stdout, stderr } = await smpsim("boot", "--cpus", "2", "--memory", "64MiB", "--check");
    expect(stdout).toMatch(/^\[ {4}0\.000000\] .*2 CPUs/);
    expect(stdout).toMatch(/Zone ranges:/);
    expect(stderr).toMatch(/booted 2 CPUs with 64 MiB in \d+ ms\nchecked: buddy, /);
    expect(code).toBe(0);
  });

  test("--print-config and --config agree; --set wins over the file, and the file over the preset", async () => {
    const args = ["boot", "--preset", "numa4", "--set", "lock=ticket"];
    const printed = await smpsim(...args, "--print-config");
    const config = JSON.parse(printed.stdout);
    expect(config).toMatchObject({ cpus: 8, nodes: 4, memory: "1GiB", lock: "ticket", seed: 1 });
    const file = join(emptyFolder(), "machine.json");
    writeFileSync(file, printed.stdout);
    const again = ["boot", "--preset", "tiny", "--config", file, "--set", "lock=tas", "--print-config"];
    expect(JSON.parse((await smpsim(...again)).stdout)).toEqual({ ...config, lock: "tas" });
  });

  test("--json is one document", async () => {
    const { stdout, code } = await smpsim("boot", "--cpus", "1", "--memory", "16MiB", "--check", "--json");
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ config: { cpus: 1 }, check: { fault: null } });
    expect(result.log.length).toBeGreaterThan(5);
    expect(code).toBe(0);
  });
});

describe("bench", () => {
  test("prints a row for each number of CPUs on stdout and progress on stderr", async () => {
    const { code, stdout, stderr } = await smpsim(
      "bench",
      COUNTER,
      "--cpus",
      `1,2,${MANY}`,
      ...QUICK,
      "--check",
    );
    expect(stderr).toMatch(/counter.ts, 1 CPU\n.*counter.ts, 2 CPUs\n.* CPUs\n$/);
    expect(stdout).toMatch(/CPUs +ops\/s +ops\/s per CPU +ns\/op +± +speed-up +ideal +fairness/);
    expect(stdout).toMatch(new RegExp(`^ 1 .*\\n 2\\*? .*\\n ${MANY}\\* `, "m"));
    expect(stdout).toMatch(/oversubscribed: only \d+ CPUs? can run at once here/);
    expect(stdout).toMatch(/parallel mode, \d+ host cores?, .*median of 2 runs ± median deviation, seed 1/);
    expect(code).toBe(0);
  });

  test("--json, page, trace and baseline of one run agree", async () => {
    const folder = emptyFolder();
    const [page, trace, old] = ["page.html", "trace.json", "old.json"].map((name) => join(folder, name));
    const args = ["bench", COUNTER, "--cpus", "1,2", ...QUICK, "--compare", "lock=tas,pv"];
    const first = await smpsim(...args, "--json", "--out", page, "--trace", trace);
    expect(first.code).toBe(0);
    const report = JSON.parse(first.stdout) as Report;
    expect(report.format).toBe("smpsim-report");
    expect(report.command).toContain("smpsim bench");
    const [experiment] = report.experiments;
    expect(experiment).toMatchObject({ repeats: 2, operations: 2000, seed: 1, machine: { memory: "16MiB" } });
    expect(experiment.variants.map((v) => [v.label, v.rows.map((row) => row.runs.length)])).toEqual([
      ["lock=tas", [2, 2]],
      ["lock=pv", [2, 2]],
    ]);
    expect(readFileSync(page, "utf8")).toMatch(/^<!doctype html>(.|\n)*lock=tas(.|\n)*<\/html>\n$/);
    const events = JSON.parse(readFileSync(trace, "utf8")).traceEvents as { name: string; ph: string }[];
    expect(events.filter((e) => e.name === "thread_name")).toHaveLength(2);
    expect(events.some((e) => e.ph === "X" && e.name === "count")).toBe(true);

    writeFileSync(old, first.stdout);
    const second = await smpsim(...args, "--baseline", old);
    expect(second.stdout).toMatch(/Verdict\n.*against the baseline +phase +CPUs/);
    expect(second.stdout).toMatch(/lock=pv .*(faster|slower|same|unclear)/);
    expect(second.code).toBe(0);
  });

  test("--csv prints the single runs and nothing else", async () => {
    const { stdout } = await smpsim("bench", COUNTER, "--cpus", "1", ...QUICK, "--csv");
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    expect(new Set(lines.map((line) => line.split(",").length)).size).toBe(1);
  });

  test("a lock from a file of one's own stands beside the built-in ones", async () => {
    const mine = "./test/support/locks/exchange-lock.ts";
    const { code, stdout } = await smpsim(
      "bench",
      "lock",
      "--cpus",
      "2",
      ...QUICK,
      "--compare",
      `lock=pv,${mine}`,
      "--check",
    );
    expect(stdout).toMatch(/pv ops\/s .*exchange-lock.ts ops\/s/);
    expect(stdout).toMatch(/^ 2 .*\n/m);
    expect(code).toBe(0);
  });

  test("--operations does that many on each CPU", async () => {
    const args = ["--operations", "5000", "--repeats", "1", "--memory", "16MiB", "--json"];
    const { stdout } = await smpsim("bench", COUNTER, "--cpus", "2", ...args);
    const [row] = (JSON.parse(stdout) as Report).experiments[0].variants[0].rows;
    expect(row.runs[0].phases[0].perCpu.map((share) => share.operations)).toEqual([5000, 5000]);
  });

  test("a fault ends it with exit code 1, the message and the command that repeats it", async () => {
    const args = ["--cpus", "2", "--set", "torn=1", "--seconds", "0.3", "--repeats", "1", "--json"];
    const { code, stdout, stderr } = await smpsim("bench", COUNTER, ...args);
    expect(stderr).toMatch(/fault in .*, 2 CPUs: .*counter is \d+, the CPUs added \d+/);
    expect(stderr).toMatch(/repeat it with: smpsim bench .*counter.ts --cpus 2 --set torn=1/);
    expect((JSON.parse(stdout) as Report).experiments[0].variants[0].rows[0].fault?.message).toMatch(
      /counter is/,
    );
    expect(code).toBe(1);
  });

  test("a program that times nothing has no figures, and it says so", async () => {
    const silent = COUNTER.replace("counter.ts", "thread-id.ts");
    const { code, stdout } = await smpsim("bench", silent, "--cpus", "1", ...QUICK);
    expect(stdout).toMatch(/no figures: the program times no phase \(kernel\.phase\)/);
    expect(code).toBe(0);
  });

  test("a page that cannot be written is the user's error, after the tables", async () => {
    const { code, stderr } = await smpsim(
      "bench",
      COUNTER,
      "--cpus",
      "1",
      ...QUICK,
      "--out",
      "/dev/null/page.html",
    );
    expect(stderr).toMatch(/page.html cannot be written/);
    expect(code).toBe(2);
  });
});

describe("stress", () => {
  test("runs rounds on one machine and checks after each", async () => {
    const args = [
      "--cpus",
      "2",
      "--seconds",
      "0.4",
      "--round-seconds",
      "0.1",
      "--seed",
      "7",
      "--memory",
      "16MiB",
    ];
    const { code, stdout, stderr } = await smpsim("stress", COUNTER, ...args);
    expect(stderr).toMatch(/stress .*: 2 CPUs, seed 7, 0.4 s/);
    expect(stdout).toMatch(/\d+ rounds?, .* operations in .* s: no fault\nchecked after each round: buddy, /);
    expect(code).toBe(0);
  });

  test("a failure prints its round, its seed and the command that repeats it, and ends with 1", async () => {
    const args = ["--cpus", "2", "--seconds", "5", "--set", "torn=1", "--memory", "16MiB", "--json"];
    const { code, stdout, stderr } = await smpsim("stress", COUNTER, ...args);
    expect(JSON.parse(stdout)).toMatchObject({
      interrupted: false,
      fault: { message: expect.stringMatching(/counter is/) },
    });
    expect(stderr).toMatch(/round \d+: .*counter is \d+/);
    expect(stderr).toMatch(/seed 1; repeat it with: smpsim stress .* --seed 1$/m);
    expect(code).toBe(1);
  });
});

test("reading only the beginning of the output is no error", async () => {
  const command = `"${process.execPath}" src/cli/main.ts bench --help | head -1; echo "\${PIPESTATUS[0]}"`;
  const piped = spawnSync("bash", ["-c", command], { cwd: projectFolder, encoding: "utf8" });
  expect(piped.stdout).toBe("Usage: smpsim bench [options] <workload>\n0\n");
  expect(piped.stderr).toBe("");
});

describe("doctor", () => {
  test("tries this computer and a real machine of two CPUs", async () => {
    const { code, stdout } = await smpsim("doctor");
    for (const name of ["Node", "cores", "pinning", "shared memory", "memory", "compile cache", "gcc"]) {
      expect(stdout).toMatch(new RegExp(`^(ok|note) +${name} `, "m"));
    }
    expect(stdout).toMatch(/^ok +2-CPU machine +booted in \d+ ms; \d+ operations, all invariants hold$/m);
    expect(code).toBe(0);
  });

  test("--json is one document", async () => {
    const { findings, works } = JSON.parse((await smpsim("doctor", "--json")).stdout);
    expect(works).toBe(true);
    expect(findings.map((f: { state: string }) => f.state)).not.toContain("broken");
  });
});

describe("workloads", () => {
  test("lists what there is, and one's options with their ranges", async () => {
    const all = JSON.parse((await smpsim("workloads", "--json")).stdout);
    expect(all.map((w: { name: string }) => w.name)).toEqual(
      expect.arrayContaining(["page-bulk", "page-stress"]),
    );
    const { stdout } = await smpsim("workloads");
    for (const { name } of all) expect(stdout).toContain(name);
    const detail = await smpsim("workloads", "page-bulk");
    expect(detail.stdout).toMatch(/page-bulk: .*\n {2}one operation: /);
    expect(detail.stdout).toMatch(/order .*whole numbers from 0 to 10 +0/);
    expect(detail.stdout).toMatch(/pageLists .*6\.12, 6\.0, off/);
  });

  test("a module that says nothing about itself is refused", async () => {
    expect(await smpsim("workloads", COUNTER)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/counter.ts exports no "describe"/),
    });
  });
});

describe("profiles", () => {
  test("lists the machines, and prints one as a file that is valid", async () => {
    const all = JSON.parse((await smpsim("profiles", "--json")).stdout);
    const { stdout } = await smpsim("profiles");
    for (const { name, description } of all) {
      expect(stdout).toContain(name);
      expect(stdout).toContain(description);
    }
    const [, { name }] = all;
    const printed = await smpsim("profiles", name);
    expect(JSON.parse(printed.stdout)).toEqual(all[1]);
    expect(printed.stdout).toMatch(/^ {6}\[10, 21\],?$/m);
    const copy = join(emptyFolder(), "mine.json");
    writeFileSync(copy, printed.stdout);
    expect(await smpsim("profiles", copy)).toMatchObject({ code: 0, stdout: printed.stdout });
    writeFileSync(copy, printed.stdout.replace('"hit"', '"hits"'));
    expect(await smpsim("profiles", copy)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/mine\.json: access\.hits is unknown \(did you mean hit\?\)/),
    });
  });

  test("an unknown one is refused with the nearest", async () => {
    expect(await smpsim("profiles", "xeon-gold-5230")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /profile: "xeon-gold-5230" is not valid \(did you mean xeon-gold-5320\?\)/,
      ),
    });
  });
});

test("start answers its questions with tables and writes the page", async () => {
  const page = join(emptyFolder(), "start.html");
  const { code, stdout, stderr } = await smpsim(
    "start",
    "--cpus",
    "2",
    "--seconds",
    "0.2",
    "--repeats",
    "1",
    "--out",
    page,
  );
  expect(stderr).toMatch(/^\[1\/\d\] Scaling: .*\n(.*\n)*\[2\/\d\] Page allocation/);
  expect(stdout).toMatch(
    /Scaling: .*: alloc\n CPUs +this computer ops\/s .* simulated xeon-gold-5320 ops\/sim\. s/,
  );
  expect(stdout).toMatch(/Page allocation: what per-CPU page lists buy\n CPUs +6\.12 ops\/s/);
  expect(stdout).toMatch(/Locks: .*\n CPUs +variant +ops\/s +over tas/);
  const html = readFileSync(page, "utf8");
  expect(html).toContain("the standard sweep");
  expect(html).toContain("Speed-up over the fewest CPUs, each by its own clock");
  expect(code).toBe(0);
});
