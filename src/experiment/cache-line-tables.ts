/** The cache-line report as tables, sentences and CSV. */

import { type CacheLine, costOf, type LineWord, type TransferCounts } from "../machine/line-report.ts";
import { cpuRanges, type Hint, type HintKind } from "./cache-line-hints.ts";
import { csvLine } from "./csv.ts";
import { count, percent, plural } from "./format.ts";
import type { Experiment, ExplainedLines, Report, Row, VariantResult } from "./report-model.ts";
import type { Table, TableRow } from "./report-tables.ts";

/** Lines, objects and fields of a line, kinds of structure, hints that are listed. */
const TOP = { lines: 10, objects: 2, words: 4, structs: 8, hints: 12 };
/** Lines and structures below this share of the cost are left to the JSON. */
const LEAST_SHARE = 0.0005;
const INDENT = "\u00a0\u00a0";

interface Found {
  readonly variant: VariantResult;
  readonly row: Row;
}

/** The dearest lines and structures of each variant, with the most CPUs that were measured; empty without counts. */
export function cacheLineTables(experiment: Experiment): Table[] {
  return largestRows(experiment).flatMap((found) => [linesTable(found), structsTable(found)]);
}

/** What the dearest lines tell, in sentences: a summary for each variant, then its hints. */
export function cacheLineNotes(experiment: Experiment): string[] {
  return largestRows(experiment).flatMap(({ variant, row }) => {
    const report = row.cacheLines;
    if (report === null) return [];
    const { total, lineCount, shareOfTime } = report;
    const where = variant.label === "" ? "" : `${variant.label}: `;
    const moved = total.reads + total.writes;
    const summary =
      `${where}with ${plural(row.cpus, "CPU")} lines came ${count(moved)} times from another CPU's cache, ` +
      `${percent(moved === 0 ? 0 : total.modified / moved)} of them written there since (HITM), and ${count(total.upgrades)} ` +
      `were made exclusive, in ${plural(lineCount, "line")}; together ${percent(shareOfTime)} of the CPUs' time. ` +
      "Where a lock's holder waits for a line, all that wait for the lock wait with it";
    const hints = hintTexts(report).slice(0, TOP.hints);
    return [summary, ...hints.map((hint) => `${where}${hint}`)];
  });
}

/** Kinds that are said once for all lines that they are true of. */
const COMMON: ReadonlySet<HintKind> = new Set(["guarded-data", "hand-over", "evicted"]);
/** Hints that differ in numbers alone are one. */
const likeness = ({ kind, text }: Hint): string => (COMMON.has(kind) ? kind : text.replaceAll(/\d+/g, "#"));

function hintTexts({ lines }: ExplainedLines): string[] {
  const all = lines.flatMap((line) => line.hints.map((hint) => ({ line, hint })));
  return all.flatMap(({ line, hint }, i) => {
    const same = all.filter((other) => likeness(other.hint) === likeness(hint));
    if (same[0] !== all[i]) return [];
    const more = same.length > 1 ? `; so ${plural(same.length - 1, "further line")}` : "";
    return [`${address(line)} ${hint.text}${more}`];
  });
}

/** All lines that reports keep, of all rows: a line of CSV for each word. */
export function cacheLinesCsv(report: Report): string {
  const lines: (readonly (string | number | boolean)[])[] = [CSV_COLUMNS];
  for (const experiment of report.experiments) {
    for (const variant of experiment.variants) {
      for (const row of variant.rows) {
        for (const [rank, line] of (row.cacheLines?.lines ?? []).entries()) {
          const kinds = line.hints.map((hint) => hint.kind);
          for (const word of line.words) {
            lines.push([
              experiment.workload,
              variant.label,
              row.cpus,
              rank + 1,
              address(line),
              line.share,
              kinds.join(" "),
              ...wordCells(word),
            ]);
          }
        }
      }
    }
  }
  return `${lines.map(csvLine).join("\n")}\n`;
}

const CSV_COLUMNS = [
  "workload",
  "variant",
  "cpus",
  "rank",
  "line",
  "line_share",
  "line_hints",
  "offset",
  "field",
  "role",
  "kind",
  "guard",
  "reads",
  "writes",
  "modified",
  "exposed",
  "upgrades",
  "cycles",
  "queue_cycles",
  "read_by",
  "written_by",
  "from",
];

const wordCells = (word: LineWord): (string | number)[] => [
  word.offset,
  word.name,
  word.role,
  word.kind,
  word.guard,
  word.reads,
  word.writes,
  word.modified,
  word.exposed,
  word.upgrades,
  word.cycles,
  word.queueCycles,
  counted(word.readers),
  counted(word.writers),
  counted(word.from),
];

/** "0:12 3:7": CPU and count. */
const counted = (counts: LineWord["readers"]): string => counts.map(([cpu, n]) => `${cpu}:${n}`).join(" ");

/** Of each variant the row with the most CPUs, if it has counts. */
function largestRows({ variants }: Experiment): Found[] {
  return variants.flatMap((variant) => {
    const row = variant.rows.findLast(({ cacheLines }) => cacheLines !== null);
    return row === undefined ? [] : [{ variant, row }];
  });
}

const titled = ({ variant, row }: Found, what: string): string =>
  `${variant.label === "" ? "" : `${variant.label}: `}${what}, ${plural(row.cpus, "CPU")}`;

function linesTable(found: Found): Table {
  const report = found.row.cacheLines;
  const total = report === null ? 0 : costOf(report.total);
  return {
    title: titled(found, "Cache lines that cost most transfers"),
    columns: [
      "line, field",
      "share",
      "reads",
      "writes",
      "HITM",
      "upgrades",
      "sim. cycles",
      "queued",
      "read by",
      "written by",
    ],
    rows: dear(report?.lines ?? [], TOP.lines).flatMap((line): TableRow[] => [
      { dimmed: false, cells: [`${address(line)} ${shortName(line)}`, ...countCells(line, total), "", ""] },
      ...line.words.slice(0, TOP.words).map((word) => ({
        dimmed: true,
        cells: [
          `${INDENT}+${word.offset} ${within(line, word)}`,
          ...countCells(word, total),
          cpuRanges(word.readers.map(([cpu]) => cpu)),
          cpuRanges(word.writers.map(([cpu]) => cpu)),
        ],
      })),
    ]),
  };
}

function structsTable(found: Found): Table {
  const report = found.row.cacheLines;
  const total = report === null ? 0 : costOf(report.total);
  return {
    title: titled(found, "The same by structure"),
    columns: [
      "structure",
      "share",
      "reads",
      "writes",
      "HITM",
      "upgrades",
      "sim. cycles",
      "queued",
      "lines",
      "fields",
    ],
    rows: dear(report?.structs ?? [], TOP.structs).map((struct) => ({
      dimmed: false,
      cells: [
        struct.name,
        ...countCells(struct, total),
        count(struct.lines),
        struct.fields
          .slice(0, TOP.words)
          .map((field) => `${field.name} ${percent(field.share)}`)
          .join(", "),
      ],
    })),
  };
}

const countCells = (counts: TransferCounts, total: number): string[] => [
  percent(total === 0 ? 0 : costOf(counts) / total),
  ...[counts.reads, counts.writes, counts.modified, counts.upgrades, counts.cycles, counts.queueCycles].map(
    (n) => count(Math.round(n)),
  ),
];

/** Those that cost something. */
const dear = <T extends { readonly share: number }>(items: readonly T[], most: number): readonly T[] =>
  items.slice(0, most).filter(({ share }) => share >= LEAST_SHARE);

function shortName({ name }: CacheLine): string {
  const objects = name.split(", ");
  const more = objects.length - TOP.objects;
  return more > 0 ? `${objects.slice(0, TOP.objects).join(", ")} and ${more} more` : name;
}

const address = (line: CacheLine): string => `0x${line.address.toString(16)}`;
/** The field alone where the line is one object's. */
const within = (line: CacheLine, word: LineWord): string =>
  word.name.startsWith(`${line.name}.`) ? word.name.slice(line.name.length + 1) : word.name;
