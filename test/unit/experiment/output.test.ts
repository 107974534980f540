import { parseHTML } from "linkedom";
import { describe, expect, test } from "vitest";
import { compareWithBaseline } from "../../../src/experiment/baseline.ts";
import { csvOf } from "../../../src/experiment/csv.ts";
import { bytes, count, duration, percent, ratio } from "../../../src/experiment/format.ts";
import { htmlReport } from "../../../src/experiment/html.ts";
import { escapeHtml } from "../../../src/experiment/html-escape.ts";
import { jsonOf } from "../../../src/experiment/report-file.ts";
import type { Report } from "../../../src/experiment/report-model.ts";
import { lockTable, metricTable, scalingTables, tableNotes } from "../../../src/experiment/report-tables.ts";
import { evenShares, lockResult, reportOf, runResult } from "../../support/run-results.ts";

const NASTY = `<script>alert("x")</script> & 'quoted', "so"`;

const row = (cpus: number, changes = {}) => [
  runResult(evenShares(cpus, 1e6, 1e9), { locks: [lockResult("zone.lock", { waitNs: 5e8 })], ...changes }),
  runResult(evenShares(cpus, 2e6, 1e9), changes),
];

function comparedReport(): Report {
  const report = reportOf([row(1), row(2), row(4)], "off");
  const [experiment] = report.experiments;
  const other = { ...experiment.variants[0], label: NASTY };
  return { ...report, experiments: [{ ...experiment, variants: [experiment.variants[0], other] }] };
}

describe("csv", () => {
  test("has a line a run and phase, all of one width, quoted where needed", () => {
    const lines = csvOf(comparedReport()).trimEnd().split("\n");
    expect(lines).toHaveLength(1 + 2 * 3 * 2);
    expect(lines[0]).toMatch(/^workload,variant,mode,cpus,/);
    expect(lines[1]).toBe(
      "page-bulk,off,parallel,1,2,1,false,get,1,1,false,1000000,1000000000,1000000,1000000,1000,1,,1000000000,10,0.5,zone.lock,0.5",
    );
    const quoted = `page-bulk,"${NASTY.replaceAll('"', '""')}",parallel,`;
    expect(lines.filter((line) => line.startsWith(quoted))).toHaveLength(6);
  });
});

describe("json", () => {
  test("is one document that reads back equal; what JSON has no number for is null", () => {
    const report = reportOf([row(1)]);
    expect(JSON.parse(jsonOf(report))).toEqual(report);
    expect(JSON.parse(jsonOf({ high: Infinity, low: Number.NaN }))).toEqual({ high: null, low: null });
  });
});

describe("html", () => {
  const page = htmlReport(comparedReport());

  test("asks nothing of anybody and runs nothing", () => {
    expect(page).not.toMatch(/<(script|link|img|iframe|object)\b/);
    expect(page).not.toMatch(/@import|url\(/);
    const addresses = [...page.matchAll(/\b(?:src|href)="([^"]*)"/g)].map((match) => match[1]);
    expect(addresses).toEqual([]);
  });

  test("escapes all text, in the plots too", () => {
    expect(page).not.toContain("<script>");
    expect(page).toContain("&lt;script&gt;");
    expect(escapeHtml("a\u0000<b>\n'c'\"&")).toBe("a\ufffd&lt;b&gt;\n&#39;c&#39;&quot;&amp;");
  });

  test("is well-formed, with plots, tables and the end of the host", () => {
    const { document } = parseHTML(page);
    expect(document.querySelectorAll("figure svg").length).toBe(4);
    expect(document.querySelectorAll("table tbody tr").length).toBeGreaterThanOrEqual(3);
    expect(document.querySelectorAll("tr.dimmed").length).toBeGreaterThan(0);
    expect(page).toContain("beyond 2 host cores: oversubscribed, not scaling");
    expect(document.querySelectorAll('path[d*="NaN"], circle[cx="NaN"]').length).toBe(0);
    const opened = [...page.matchAll(/<(section|div|table|figure|svg|g|text|h2|tr|td)\b(?![^>]*\/>)/g)]
      .length;
    const closed = [...page.matchAll(/<\/(section|div|table|figure|svg|g|text|h2|tr|td)>/g)].length;
    expect(opened).toBe(closed);
  });

  test("points beyond the host are hollow and their line is dashed", () => {
    const { document } = parseHTML(htmlReport(reportOf([row(1), row(2), row(4)])));
    const hollow = document.querySelectorAll('circle[fill="var(--page)"]');
    expect(hollow.length).toBe(2);
    expect(document.querySelectorAll('g[stroke-dasharray="5 4"] path').length).toBe(2);
  });

  test("shows a fault, an early end and the verdicts against a baseline", () => {
    const fault = {
      kind: "bug",
      cpu: 0,
      message: "<b>broken",
      stack: "at x",
      report: "cpu 0: parked",
    } as const;
    const report = reportOf([row(1, { fault, interrupted: true })]);
    const [experiment] = report.experiments;
    const stopped = { ...report, experiments: [{ ...experiment, interrupted: true }] };
    const text = htmlReport(stopped, {
      comparison: compareWithBaseline(stopped, reportOf([row(1)])),
    });
    expect(text).toContain("&lt;b&gt;broken");
    expect(text).toContain("Stopped before its end");
    expect(text).toContain('<td class="unclear">unclear</td>');
  });

  test("of a report without a single run is still a page", () => {
    const report = reportOf([]);
    expect(htmlReport(report)).toContain("</html>");
  });
});

describe("tables", () => {
  test("one variant: speed-up, ideal, fairness and the lock most waited for", () => {
    const [experiment] = reportOf([row(1), row(4)]).experiments;
    const [table] = scalingTables(experiment);
    expect(table.columns).toContain("speed-up");
    expect(table.rows[0].cells).toEqual([
      "1",
      "1.50 M",
      "1.50 M",
      "750 ns",
      "33.3 %",
      "1.00",
      "1.00",
      "1.00",
      "zone.lock 25.0 %",
    ]);
    expect(table.rows[1]).toMatchObject({ dimmed: true });
    expect(table.rows[1].cells[0]).toBe("4*");
    expect(table.rows[1].cells[5]).toBe("(4.00)");
    const busy = tableNotes({ ...experiment, othersShare: 0.42 });
    expect(busy[1]).toMatch(/other programs used 42 % of the host's cores meanwhile/);
    expect(tableNotes({ ...experiment, othersShare: 0.01 })).toHaveLength(1);
    expect(tableNotes(experiment)[0]).toMatch(/only 2 CPUs can run at once here \(2 host cores\)/);
  });

  test("two variants stand side by side with their ratio", () => {
    const [table] = scalingTables(comparedReport().experiments[0]);
    expect(table.columns.at(-1)).toBe(`${NASTY} / off`);
    expect(table.rows[0].cells.at(-1)).toBe("1.00");
    expect(new Set(table.rows.map((r) => r.cells.length))).toEqual(new Set([table.columns.length]));
  });

  test("more than two variants have a line each, beside those with as many CPUs", () => {
    const report = comparedReport();
    const [experiment] = report.experiments;
    const [first, second] = experiment.variants;
    const three = { ...experiment, variants: [first, second, { ...second, label: "third" }] };
    const [table] = scalingTables(three);
    expect(table.rows.map((r) => r.cells.slice(0, 2))).toEqual([
      ["1", "off"],
      ["1", NASTY],
      ["1", "third"],
      ["2", "off"],
      ["2", NASTY],
      ["2", "third"],
      ["4*", "off"],
      ["4*", NASTY],
      ["4*", "third"],
    ]);
    expect(new Set(table.rows.map((r) => r.cells.length))).toEqual(new Set([table.columns.length]));
    expect(table.columns[3]).toBe("over off");
  });

  test("locks that nobody waited for, and figures that nobody returned, make no table", () => {
    const calm = reportOf([[runResult(evenShares(1, 1, 1), { locks: [lockResult("a", { contended: 0 })] })]]);
    expect(lockTable(calm.experiments[0])).toBeNull();
    expect(metricTable(calm.experiments[0])).toBeNull();
    expect(lockTable(comparedReport().experiments[0])?.rows[0].cells).toHaveLength(8);
  });
});

test("numbers are short and have a unit", () => {
  expect([0, 7, 999, 12_345, 1.5e6, 999_999, 2e9].map(count)).toEqual([
    "0",
    "7",
    "999",
    "12.3 k",
    "1.50 M",
    "1.00 M",
    "2.00 G",
  ]);
  expect([0, 4.2, 999.9, 12_000, 3e9].map(duration)).toEqual([
    "0 ns",
    "4.20 ns",
    "1.00 µs",
    "12.0 µs",
    "3.00 s",
  ]);
  expect([percent(0.123), percent(Number.NaN), ratio(null), ratio(1.234)]).toEqual([
    "12.3 %",
    "-",
    "-",
    "1.23",
  ]);
  expect([0, 4096, 2 ** 28, 1.5 * 2 ** 30].map(bytes)).toEqual(["0 B", "4 KiB", "256 MiB", "1.5 GiB"]);
});
