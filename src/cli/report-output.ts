/** Hands a report to whoever asked for it: tables, JSON or CSV on stdout, a page in a file. */

import { readFileSync } from "node:fs";
import type { BaselineComparison, ComparedRow } from "../experiment/baseline.ts";
import { reportOf } from "../experiment/bench.ts";
import { cacheLineNotes, cacheLinesCsv, cacheLineTables } from "../experiment/cache-line-tables.ts";
import { conditionsOf } from "../experiment/clock-words.ts";
import { csvOf } from "../experiment/csv.ts";
import { count, percent, plural, ratio } from "../experiment/format.ts";
import type { PageExtras } from "../experiment/html.ts";
import { parseReport } from "../experiment/report-file.ts";
import type { Experiment, Report } from "../experiment/report-model.ts";
import { lockTable, metricTable, scalingTables, tableNotes } from "../experiment/report-tables.ts";
import { UsageError } from "../memory/bug.ts";
import { print, printJson, say, writeResult } from "./output.ts";
import { bold, dim, green, red, renderTable } from "./tables.ts";

export interface Delivery {
  readonly json?: boolean;
  readonly csv?: boolean;
  readonly out?: string;
  readonly cacheLinesCsv?: string;
}

export const newReport = (title: string, experiments: readonly Experiment[]): Report =>
  reportOf(title, commandLine(), experiments);

/** The command as it was typed, quoted so that a shell takes it back. */
export function commandLine(): string {
  const quoted = process.argv
    .slice(2)
    .map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`));
  return ["smpsim", ...quoted].join(" ");
}

export function readBaseline(path: string): Report {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`--baseline: ${path} cannot be read: ${(error as Error).message}`);
  }
  return parseReport(text, path);
}

/** Prints and writes what the flags ask for. */
export async function deliver(report: Report, flags: Delivery, extras: PageExtras = {}): Promise<void> {
  const { comparison = null } = extras;
  if (flags.json) printJson(comparison === null ? report : { ...report, baseline: comparison });
  else if (flags.csv) print(csvOf(report));
  else {
    for (const experiment of report.experiments) printExperiment(experiment);
    if (comparison !== null) printComparison(comparison);
  }
  for (const experiment of report.experiments) sayFaults(experiment);
  if (flags.cacheLinesCsv !== undefined) {
    writeResult(flags.cacheLinesCsv, cacheLinesCsv(report));
    say(`wrote ${flags.cacheLinesCsv}`);
  }
  if (flags.out === undefined) return;
  // Loaded late: the plot library takes longer than the rest of the program.
  const { htmlReport } = await import("../experiment/html.ts");
  writeResult(flags.out, htmlReport(report, extras));
  say(`wrote ${flags.out}`);
}

function printExperiment(experiment: Experiment): void {
  const rows = experiment.variants.flatMap((variant) => variant.rows);
  if (rows.length === 0) return print(`${experiment.title}: nothing was measured\n`);
  const tables = scalingTables(experiment);
  if (tables.length === 0) print(`${bold(experiment.title)}: no figures: ${whyNoFigures(experiment)}\n`);
  for (const table of tables) print(renderTable(table));
  for (const table of [metricTable(experiment), lockTable(experiment)]) {
    if (table !== null) print(renderTable(table));
  }
  for (const table of cacheLineTables(experiment)) print(renderTable(table));
  for (const note of [...cacheLineNotes(experiment), ...tableNotes(experiment)]) print(dim(note));
  print(dim(conditionsOf(experiment).join(", ")));
  print("");
}

function whyNoFigures({ variants }: Experiment): string {
  const isBroken = variants.some(({ rows }) => rows.some((row) => row.fault !== null));
  return isBroken ? "the run ended with a fault" : "the program times no phase (kernel.phase)";
}

function printComparison(comparison: BaselineComparison): void {
  const colour = { faster: green, slower: red, same: String, unclear: dim };
  const rows = comparison.rows.map((row) => ({
    dimmed: false,
    cells: [
      [row.workload, row.variant].filter((s) => s !== "").join(" "),
      row.phase,
      `${row.cpus}${row.oversubscribed ? "*" : ""}`,
      count(row.oldOpsPerSecond),
      count(row.newOpsPerSecond),
      ratio(row.ratio),
      intervalOf(row),
      colour[row.verdict](row.verdict),
    ],
  }));
  const columns = [
    "against the baseline",
    "phase",
    "CPUs",
    "ops/s before",
    "after",
    "after / before",
    "interval",
    "verdict",
  ];
  const isExact = comparison.rows.every(({ low, high }) => low === high);
  const notes = [
    isExact
      ? `simulated time repeats exactly; differences below ${percent(comparison.threshold)} do not count`
      : `intervals of ${percent(comparison.confidence)} (Hodges and Lehmann); differences below ` +
        `${percent(comparison.threshold)} do not count; unclear: more repeats are needed`,
    ...comparison.warnings,
  ];
  print(renderTable({ title: "Verdict", columns, rows }));
  for (const note of notes) print(dim(note));
}

const intervalOf = ({ low, high }: ComparedRow): string =>
  low === high ? "exact" : `${ratio(low)} to ${Number.isFinite(high) ? ratio(high) : "∞"}`;

function sayFaults(experiment: Experiment): void {
  for (const { label, rows } of experiment.variants) {
    for (const { cpus, fault } of rows) {
      if (fault === null) continue;
      const where = [experiment.workload, label, plural(cpus, "CPU")].filter((s) => s !== "").join(", ");
      say(`\nfault in ${where}: ${fault.message}`);
      if (fault.report !== "") say(fault.report);
      if (fault.stack !== "") say(fault.stack);
      say(`repeat it with: ${commandLine()}`);
    }
  }
}
