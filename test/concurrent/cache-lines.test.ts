import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { hintsFor } from "../../src/experiment/cache-line-hints.ts";
import type { CacheLine, LineReport } from "../../src/machine/line-report.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { RunResult } from "../../src/machine/program.ts";

const shared = fileURLToPath(new URL("../support/programs/shared-lines.ts", import.meta.url));
const CPUS = 4;

afterAll(destroyIdlePools);

interface Outcome {
  readonly result: RunResult;
  readonly digest: string;
}

async function simulate(program: string, run: object, config: object = {}): Promise<Outcome> {
  const machine = await Machine.boot({
    memory: "64MiB",
    mode: "virtual",
    cacheLines: true,
    cpus: CPUS,
    ...config,
  });
  const result = await machine.run(program, run);
  expect(result.fault).toBeNull();
  const digest = machine.digest();
  await machine.halt();
  return { result, digest };
}

async function planted(how: string): Promise<{ report: LineReport; line: CacheLine | undefined }> {
  const { result } = await simulate(shared, { operations: 400, options: { how } });
  const report = result.cacheLines as LineReport;
  return { report, line: report.lines.find((line) => line.name.startsWith("planted")) };
}

const kinds = (line: CacheLine | undefined): string[] =>
  line === undefined ? [] : hintsFor(line).map((h) => h.kind);

describe("cache lines that travel", () => {
  test("words of different CPUs on one line: false sharing, each word with its CPU", async () => {
    const { report, line } = await planted("false");
    expect(kinds(line)).toEqual(["false-sharing"]);
    expect(report.lines[0]).toBe(line);
    expect(line?.share).toBeGreaterThan(0.99);
    for (let cpu = 0; cpu < CPUS; cpu++) {
      const word = line?.words.find((w) => w.name === `planted[0].words[${cpu}]`);
      expect(word?.offset).toBe(4 * cpu);
      expect(word?.writers.map(([writer]) => writer)).toEqual([cpu]);
      expect(word?.from.map(([source]) => source)).not.toContain(cpu);
    }
  });

  test("one word that all write: true sharing, and every addition but the quick ones moves the line", async () => {
    const { line } = await planted("true");
    expect(kinds(line)).toEqual(["true-sharing"]);
    expect(line?.words).toHaveLength(1);
    expect(line?.words[0].writers.map(([cpu]) => cpu)).toEqual([0, 1, 2, 3]);
    const moved = (line?.writes ?? 0) + (line?.upgrades ?? 0);
    expect(moved).toBeGreaterThan(0.9 * 400 * CPUS);
    expect(moved).toBeLessThanOrEqual(400 * CPUS);
    expect(line?.modified).toBe(line?.writes);
    expect(line?.exposed).toBe(line?.writes);
  });

  test.each([
    ["read-mostly", ["false-sharing"], "planted[0].words[8]"],
    ["one-writer", ["one-writer"], "planted[0].words[0]"],
    ["two", ["true-sharing"], "planted[0].words[0]"],
    ["lock", ["contended-lock", "lock-with-data"], "planted.lock"],
  ])("%s", async (how, expected, field) => {
    const { line } = await planted(how);
    expect(kinds(line)).toEqual(expected);
    expect(hintsFor(line as CacheLine)[0].fields[0]).toBe(field);
  });

  test.each(["none", "read"])("%s: no line travels, no hint", async (how) => {
    const { line } = await planted(how);
    expect(kinds(line)).toEqual([]);
    expect((line?.reads ?? 0) + (line?.writes ?? 0) + (line?.upgrades ?? 0)).toBeLessThan(CPUS);
  });

  test("the report adds up, and is the same in every run", async () => {
    const [a, b] = [await simulate("page-bulk", OF_PAGES), await simulate("page-bulk", OF_PAGES)];
    expect(b.result.cacheLines).toEqual(a.result.cacheLines);
    const { total, structs, lines, lineCount } = a.result.cacheLines as LineReport;
    for (const field of ["reads", "writes", "modified", "exposed", "upgrades", "cycles"] as const) {
      expect(structs.reduce((sum, s) => sum + s[field], 0)).toBe(total[field]);
    }
    expect(structs.reduce((sum, s) => sum + s.lines, 0)).toBeGreaterThanOrEqual(lineCount);
    for (const line of lines) {
      expect(line.words.reduce((sum, w) => sum + w.cycles, 0)).toBe(line.cycles);
      for (const w of line.words) {
        expect(w.from.reduce((sum, [, count]) => sum + count, 0)).toBe(w.reads + w.writes);
        expect(w.readers.reduce((sum, [, count]) => sum + count, 0)).toBe(w.reads);
        expect(w.writers.reduce((sum, [, count]) => sum + count, 0)).toBe(w.writes + w.upgrades);
      }
    }
    expect(lines[0].words[0].name).toMatch(/^zone\[\w+\]\.lock\.value$/);
  });

  test("counting changes neither clocks nor RAM", async () => {
    const counted = await simulate("page-rand", OF_PAGES);
    const plain = await simulate("page-rand", OF_PAGES, { cacheLines: false });
    expect(plain.result.cacheLines).toBeNull();
    expect(counted.result.cacheLines?.lineCount).toBeGreaterThan(0);
    expect(counted.digest).toBe(plain.digest);
    expect(counted.result.cpuResults).toEqual(plain.result.cpuResults);
  });

  test("only simulated time has cache lines to count", async () => {
    await expect(Machine.boot({ cacheLines: true, cpus: 1 })).rejects.toThrow(
      'cacheLines: needs simulated time, mode "virtual" (--mode virtual); the mode is "parallel"',
    );
  });
});

const OF_PAGES = { operations: 300, options: { fraction: 0.02 } };
