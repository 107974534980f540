/** The public door, as a program of one's own uses it. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { bench, csvOf, explore, htmlReport, Machine, replay, UsageError } from "../../src/index.ts";
import { COUNTER } from "../support/cli.ts";
import { emptyFolder, projectFolder, writeText } from "../support/folder.ts";

test("boot, run, check, halt", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "16MiB", seed: 7 });
  const result = await machine.run(COUNTER, { operations: 1000 });
  expect(result).toMatchObject({ cpus: 2, seed: 7, fault: null });
  expect(result.cpuResults.map((cpu) => cpu.phases[0].operations)).toEqual([1000, 1000]);
  expect((await machine.check()).fault).toBeNull();
  await machine.halt();
});

test("bench returns a report, with progress, that becomes a page or CSV", async () => {
  const seen: number[] = [];
  const report = await bench(COUNTER, {
    cpus: [1, 2],
    repeats: 2,
    operations: 2000,
    compare: "lock=tas,pv",
    machine: { memory: "16MiB" },
    onProgress: ({ done }) => seen.push(done),
  });
  expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => i));
  expect(report.experiments[0].variants.map((v) => v.rows.map((row) => row.runs.length))).toEqual([
    [2, 2],
    [2, 2],
  ]);
  expect(csvOf(report).trimEnd().split("\n")).toHaveLength(1 + 8);
  expect(htmlReport(report)).toContain("lock=tas");
});

test("bench refuses what is not valid before anything runs", async () => {
  await expect(bench(COUNTER, { cpus: [] })).rejects.toThrow(UsageError);
  await expect(bench(COUNTER, { compare: "lock=tas,nope" })).rejects.toThrow(/lock: "nope" is not valid/);
  await expect(bench("no-such")).rejects.toThrow(UsageError);
});

test("explore finds a mutant, and replay repeats it", async () => {
  const { failure } = await explore("lost-update", { mutants: ["lost-update-torn"], report: false });
  const again = await replay(failure?.schedule ?? "", { times: 2, report: false });
  expect(again).toMatchObject({ reproduced: 2, times: 2 });
});

test("a program that halts its machine ends by itself", () => {
  const index = pathToFileURL(join(projectFolder, "src", "index.ts")).href;
  const text = `import { Machine } from "${index}";
    const machine = await Machine.boot({ cpus: 2, memory: "16MiB" });
    const { fault } = await machine.run("${COUNTER}", { operations: 10 });
    await machine.halt();
    console.log(fault);`;
  const file = writeText(emptyFolder(), "own.ts", text);
  const run = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 30_000 });
  expect(run).toMatchObject({ status: 0, stdout: "null\n" });
});
