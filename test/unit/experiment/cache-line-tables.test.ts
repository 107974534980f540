import { describe, expect, test } from "vitest";
import { cacheLineNotes, cacheLinesCsv, cacheLineTables } from "../../../src/experiment/cache-line-tables.ts";
import { htmlReport } from "../../../src/experiment/html.ts";
import { jsonOf } from "../../../src/experiment/report-file.ts";
import type { CpuCount, LineReport, LineWord } from "../../../src/machine/line-report.ts";
import { evenShares, reportOf, runResult } from "../../support/run-results.ts";

const writers = (...cpus: number[]): CpuCount[] => cpus.map((cpu) => [cpu, 100]);

function written(offset: number, name: string, by: CpuCount[]): LineWord {
  const writes = by.reduce((sum, [, n]) => sum + n, 0);
  return {
    offset,
    name,
    unit: name,
    role: "data",
    kind: "counter",
    guard: "atomic",
    reads: 0,
    writes,
    modified: writes,
    exposed: 0,
    upgrades: 0,
    cycles: 24 * writes,
    queueCycles: 0,
    readers: [],
    writers: by,
    from: by,
  };
}

/** Two lines: a falsely shared one, and one with a tenth of its cost that all write. */
function lineReport(): LineReport {
  const a = [written(0, "table[0].hits", writers(0)), written(16, "table[1].hits", writers(1))];
  const b = [{ ...written(0, "total.sum", writers(0, 1)), cycles: 480 }];
  const counts = (words: readonly LineWord[]) => {
    const [reads, writes] = [0, words.reduce((sum, w) => sum + w.writes, 0)];
    const cycles = words.reduce((sum, w) => sum + w.cycles, 0);
    return { reads, writes, modified: writes, exposed: 0, upgrades: 0, cycles, queueCycles: 0 };
  };
  const total = counts([...a, ...b]);
  const line = (address: number, name: string, words: readonly LineWord[]) => ({
    address,
    name,
    ...counts(words),
    share: counts(words).cycles / total.cycles,
    words,
    neighbours: [],
  });
  return {
    lineCount: 2,
    total,
    shareOfTime: 0.25,
    lines: [line(0x1000, "table[0], table[1]", a), line(0x2040, "total", b)],
    structs: [
      { name: "table", lines: 1, ...counts(a), share: 10 / 11, fields: [{ name: "hits", share: 10 / 11 }] },
    ],
  };
}

const report = reportOf([
  [runResult(evenShares(1, 10, 100))],
  [runResult(evenShares(2, 10, 100), { cacheLines: lineReport() })],
]);
const [experiment] = report.experiments;

describe("the cache-line report as tables", () => {
  test("a row for each line and below it one for each word, with who reads and writes it", () => {
    const [lines, structs] = cacheLineTables(experiment);
    expect(lines.title).toBe("Cache lines that cost most transfers, 2 CPUs");
    expect(lines.rows.map(({ cells }) => cells.map((cell) => cell.replaceAll("\u00a0", " ")))).toEqual([
      ["0x1000 table[0], table[1]", "90.9 %", "0", "200", "200", "0", "4.80 k", "0", "", ""],
      ["  +0 table[0].hits", "45.5 %", "0", "100", "100", "0", "2.40 k", "0", "", "0"],
      ["  +16 table[1].hits", "45.5 %", "0", "100", "100", "0", "2.40 k", "0", "", "1"],
      ["0x2040 total", "9.09 %", "0", "200", "200", "0", "480", "0", "", ""],
      ["  +0 sum", "9.09 %", "0", "200", "200", "0", "480", "0", "", "0-1"],
    ]);
    expect(structs.rows[0].cells[0]).toBe("table");
    for (const { columns, rows } of [lines, structs])
      for (const { cells } of rows) expect(cells).toHaveLength(columns.length);
  });

  test("notes sum up and give the hints of the lines", () => {
    const [summary, ...hints] = cacheLineNotes(experiment);
    expect(summary).toContain("lines came 400 times from another CPU's cache, 100 % of them written there");
    expect(summary).toContain("in 2 lines; together 25.0 % of the CPUs' time");
    expect(hints).toHaveLength(2);
    expect(hints[0]).toMatch(/^0x1000 false sharing: cpu 0 uses table\[0\]\.hits; cpu 1 uses/);
    expect(hints[1]).toMatch(/^0x2040 true sharing: 2 CPUs \(0-1\) all write total\.sum\. Count per CPU/);
  });

  test("CSV has a line for each word; JSON has the hints; the page has the tables", () => {
    const csv = cacheLinesCsv(report).trimEnd().split("\n");
    expect(csv).toHaveLength(1 + 3);
    expect(csv[1]).toBe(
      `page-bulk,,2,1,0x1000,${10 / 11},false-sharing,0,table[0].hits,data,counter,atomic,0,100,100,0,0,2400,0,,0:100,0:100`,
    );
    const columns = csv[0].split(",").length;
    for (const line of csv) expect(line.split(",")).toHaveLength(columns);
    const rows = JSON.parse(jsonOf(report)).experiments[0].variants[0].rows;
    expect(rows[0].cacheLines).toBeNull();
    expect(rows[1].cacheLines.lines[0].hints[0].kind).toBe("false-sharing");
    const page = htmlReport(report);
    expect(page).toContain("Cache lines that cost most transfers, 2 CPUs");
    expect(page).toContain("0x1000 false sharing: cpu 0 uses");
  });

  test("without counts there is nothing", () => {
    const [plain] = reportOf([[runResult(evenShares(1, 10, 100))]]).experiments;
    expect([cacheLineTables(plain), cacheLineNotes(plain)]).toEqual([[], []]);
    expect(cacheLinesCsv(reportOf([])).split("\n")).toHaveLength(2);
  });
});
