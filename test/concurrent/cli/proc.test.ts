import { describe, expect, test } from "vitest";
import { procNames } from "../../../src/procfs/reports.ts";
import { smpsim } from "../../support/cli.ts";
import { projectFolder } from "../../support/folder.ts";
import * as grammar from "../../support/proc-grammar.ts";
import { parseSlabinfo } from "../../support/slab-grammar.ts";

const MISBEHAVE = `${projectFolder}/test/support/programs/misbehave.ts`;
const SMALL = ["--cpus", "2", "--memory", "64MiB"];

describe("proc", () => {
  test("lists the reports", async () => {
    const { code, stdout } = await smpsim("proc");
    expect(code).toBe(0);
    for (const name of procNames()) expect(stdout).toMatch(new RegExp(`^ *${name} +\\S`, "m"));
    const listed = JSON.parse((await smpsim("proc", "--json")).stdout);
    expect(listed.map(({ name }: { name: string }) => name)).toEqual(procNames());
  });

  test("prints a report of a booted machine and nothing else", async () => {
    const { code, stdout, stderr } = await smpsim("proc", "buddyinfo", ...SMALL);
    expect(grammar.parseBuddyinfo(stdout).map(({ zone }) => zone)).toEqual(["DMA", "DMA32"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
  });

  test("after a workload, with its options, as JSON", async () => {
    const after = ["--after", "page-bulk", "--seconds", "0.1", "--set", "order=2"];
    const { code, stdout, stderr } = await smpsim("proc", "vmstat", ...SMALL, ...after, "--json");
    const { report, config, after: ran, text } = JSON.parse(stdout);
    expect({ report, ran, cpus: config.cpus }).toEqual({ report: "vmstat", ran: "page-bulk", cpus: 2 });
    expect(grammar.parseVmstat(text).get("pgalloc_dma32")).toBeGreaterThan(0);
    expect(stderr).toBe("running page-bulk on 2 CPUs for 0.1 s\n");
    expect(code).toBe(0);
  });

  test("object caches after a workload that has some", async () => {
    const after = ["--after", "kmalloc-mix", "--seconds", "0.1"];
    const { stdout } = await smpsim("proc", "slabinfo", ...SMALL, ...after);
    const rows = parseSlabinfo(stdout);
    expect(rows.map(({ name }) => name)).toContain("kmalloc-96");
    const one = await smpsim("proc", "/sys/kernel/slab/kmalloc-96/objs_per_slab", ...SMALL, ...after);
    expect(one.stdout).toBe("42\n");
  });

  test("measures the latency matrix with options of that workload", async () => {
    const { stdout } = await smpsim(
      "proc",
      "core-latency",
      ...SMALL,
      "--set",
      "trips=10",
      "--set",
      "batches=1",
    );
    expect(stdout).toMatch(/^Core-to-core latency, one way \(ns\)\n +CPU0 +CPU1\n +CPU0 +- +\d/);
  });

  test("a fault of the workload is said, and there is no report", async () => {
    const after = ["--after", MISBEHAVE, "--set", "how=throw", "--seconds", "0.1"];
    const { code, stdout, stderr } = await smpsim("proc", "meminfo", ...SMALL, ...after);
    expect(stderr).toMatch(/fault: .*planted exception/);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  test.each([
    [
      ["sys/kernel/slab/bios", ...SMALL],
      'there is no cache "bios"; there are none until a program makes one',
    ],
    [["slabinfo", ...SMALL, "--slab", "slob"], "SLOB has none"],
    [["sys/kernel/slab", ...SMALL, "--slab", "slab"], "only SLUB has it"],
    [["slubinfo"], 'proc: there is no report "slubinfo"; valid are buddyinfo, '],
    [["meminfo", "--seconds", "1"], "--seconds: it needs --after WORKLOAD"],
    [["core-latency", "--after", "page-bulk"], "--after: report core-latency measures by a run of its own"],
    [["meminfo", "--set", "order=3"], "order"],
    [["core-latency", "--cpus", "1"], "it needs at least 2 CPUs"],
  ])("%j is refused", async (args, message) => {
    const { code, stdout, stderr } = await smpsim("proc", ...args);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });
});
