/** An experiment as tables of text: the command line and the HTML page draw the same ones. */

import { EXTRAPOLATED, isExtrapolated, isMixed, simulationNotes, wordsOf } from "./clock-words.ts";
import { count, duration, percent, plural, ratio } from "./format.ts";
import { loadWarning } from "./host-load.ts";
import type { AuditResult, Experiment, MetricRow, PhaseRow, Row, VariantResult } from "./report-model.ts";
import { medianOf, relativeMad } from "./statistics.ts";

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
}

export interface TableRow {
  readonly cells: readonly string[];
  /** Not to be read like the others: oversubscribed. */
  readonly dimmed: boolean;
}

const OVERSUBSCRIBED = "*";
const CUT_SHORT = "~";
/** Locks listed for each row. */
const TOP_LOCKS = 3;

/** One table a phase; with several variants, their figures side by side. */
export function scalingTables(experiment: Experiment): Table[] {
  return phaseNames(experiment).map((phase) => {
    return { title: phaseTitle(experiment, phase), ...tableOf(experiment, phase) };
  });
}

/** The locks that CPUs waited for most, for each row; empty when nothing was contended. */
export function lockTable(experiment: Experiment): Table | null {
  const rows = experiment.variants.flatMap((variant) =>
    variant.rows.flatMap((row) =>
      row.locks
        .filter((lock) => lock.contended > 0)
        .slice(0, TOP_LOCKS)
        .map((lock) => ({
          dimmed: row.oversubscribed,
          cells: [
            ...(experiment.variants.length > 1 ? [variant.label] : []),
            cpuCell(row, variant),
            lock.name,
            count(lock.acquisitions),
            percent(lock.contended / Math.max(1, lock.acquisitions)),
            percent(lock.waitShare),
            duration(lock.waitMaxNs),
            lock.heldNs > 0 ? duration(lock.heldNs / Math.max(1, lock.acquisitions)) : "-",
          ],
        })),
    ),
  );
  if (rows.length === 0) return null;
  const columns = [
    "CPUs",
    "lock",
    "taken",
    "contended",
    isMixed(experiment) ? "share of CPU time waiting" : wordsOf(experiment).waiting,
    "longest wait",
    "mean hold",
  ];
  return {
    title: "Most contended locks",
    columns: experiment.variants.length > 1 ? ["variant", ...columns] : columns,
    rows,
  };
}

/** Figures of the workload's own (latencies, counts), as spreads over CPUs and runs. */
export function metricTable(experiment: Experiment): Table | null {
  const isCompared = experiment.variants.length > 1;
  const rows = experiment.variants.flatMap((variant) =>
    variant.rows.flatMap((row) =>
      row.metrics.filter(isWorthARow).map((metric) => ({
        dimmed: row.oversubscribed,
        cells: [
          ...(isCompared ? [variant.label] : []),
          cpuCell(row, variant),
          metric.name,
          ...[metric.spread.median, metric.spread.min, metric.spread.max].map((v) => inUnit(v, metric.unit)),
        ],
      })),
    ),
  );
  if (rows.length === 0) return null;
  const columns = ["CPUs", "figure", "median", "smallest", "largest"];
  return {
    title: "Figures of the workload",
    columns: isCompared ? ["variant", ...columns] : columns,
    rows,
  };
}

/** Counts of what never happened (failures) are in the JSON; a table of zeros says nothing. */
const isWorthARow = ({ spread }: MetricRow): boolean => spread.min !== 0 || spread.max !== 0;

export const phaseNames = (experiment: Experiment): string[] => [
  ...new Set(experiment.variants.flatMap((v) => v.rows.flatMap((row) => row.phases.map((p) => p.name)))),
];

function phaseTitle(experiment: Experiment, phase: string): string {
  const title = phaseNames(experiment).length > 1 ? `${experiment.title}: ${phase}` : experiment.title;
  return experiment.mode === "virtual" && !isMixed(experiment) ? `${title}, in simulated time` : title;
}

function tableOf(experiment: Experiment, phase: string): Pick<Table, "columns" | "rows"> {
  const { variants } = experiment;
  if (variants.length === 1) return plainTable(variants[0], phase);
  return variants.length === 2 ? comparedTable(experiment, phase) : rankedTable(experiment, phase);
}

function plainTable(variant: VariantResult, phase: string): Pick<Table, "columns" | "rows"> {
  const found = rowsWith(variant, phase);
  const base = found.find(({ figures }) => figures.baseCpus !== null)?.figures.baseCpus ?? 1;
  const against = base === 1 ? "speed-up" : `speed-up over ${base} CPUs`;
  const words = wordsOf(variant);
  const isSimulated = variant.mode === "virtual";
  return {
    columns: [
      "CPUs",
      words.rate,
      `${words.rate} per CPU`,
      words.cost,
      ...deviation(variant, "±"),
      against,
      "ideal",
      "fairness",
      "most waited for",
      ...(isSimulated ? ["all locks", "sim. run"] : []),
    ],
    rows: found.map(({ row, figures }) => ({
      dimmed: row.oversubscribed,
      cells: [
        cpuCell(row, variant),
        count(figures.opsPerSecond.median),
        count(figures.opsPerSecondPerCpu),
        duration(figures.nsPerOp.median),
        ...deviation(variant, percent(relativeMad(figures.nsPerOp))),
        speedUpCell(row, figures),
        ratio(figures.ideal),
        ratio(figures.fairness.median),
        topLock(row),
        ...(isSimulated
          ? [percent(allLocks(row)), duration(medianOf(row.runs.map((run) => run.elapsedNs)))]
          : []),
      ],
    })),
  };
}

/** A single run in simulated time has no deviation to show: it repeats bit for bit. */
const deviation = ({ mode, repeats }: VariantResult, cell: string): string[] =>
  mode === "virtual" && repeats === 1 ? [] : [cell];

const allLocks = (row: Row): number => row.locks.reduce((sum, lock) => sum + lock.waitShare, 0);

function comparedTable(experiment: Experiment, phase: string): Pick<Table, "columns" | "rows"> {
  const { variants } = experiment;
  const [first, ...others] = variants;
  // Rates by different clocks have no ratio.
  const related = isMixed(experiment) ? [] : others;
  const columns = [
    "CPUs",
    ...variants.flatMap((variant) => [
      `${shortLabel(variant)} ${wordsOf(variant).rate}`,
      wordsOf(variant).cost,
      ...deviation(variant, "±"),
      "speed-up",
    ]),
    ...related.map((variant) => `${shortLabel(variant)} / ${shortLabel(first)}`),
  ];
  const cpus = [...new Set(variants.flatMap((v) => v.rows.map((row) => row.cpus)))].toSorted((a, b) => a - b);
  const rows = cpus.map((n) => {
    const found = variants.map((v) => rowsWith(v, phase).find(({ row }) => row.cpus === n));
    const known = found.findIndex((f) => f !== undefined);
    const row = found[known]?.row;
    const rate = (i: number): number => found[i]?.figures.opsPerSecond.median ?? Number.NaN;
    return {
      dimmed: row?.oversubscribed ?? false,
      cells: [
        row === undefined ? String(n) : cpuCell(row, variants[known]),
        ...found.flatMap((f, i) => comparedCells(f, variants[i])),
        ...related.map((_, i) => ratio(rate(i + 1) / rate(0))),
      ],
    };
  });
  return { columns, rows };
}

/** More variants than fit side by side: a line each, beside those with as many CPUs. */
function rankedTable(experiment: Experiment, phase: string): Pick<Table, "columns" | "rows"> {
  const { variants } = experiment;
  const [first] = variants;
  const words = wordsOf(isMixed(experiment) ? { mode: "parallel" } : first);
  const shown = (cell: string): string[] =>
    variants.some((v) => deviation(v, cell).length > 0) ? [cell] : [];
  const found = variants.flatMap((variant) =>
    rowsWith(variant, phase).map((found) => ({ variant, ...found })),
  );
  const rateOfFirst = (cpus: number): number =>
    found.find((f) => f.variant === first && f.row.cpus === cpus)?.figures.opsPerSecond.median ?? Number.NaN;
  return {
    columns: [
      "CPUs",
      "variant",
      words.rate,
      `over ${shortLabel(first)}`,
      words.cost,
      ...shown("±"),
      "speed-up",
      "fairness",
      "most waited for",
    ],
    rows: found
      .toSorted((a, b) => a.row.cpus - b.row.cpus)
      .map(({ variant, row, figures }) => ({
        dimmed: row.oversubscribed,
        cells: [
          cpuCell(row, variant),
          shortLabel(variant),
          count(figures.opsPerSecond.median),
          ratio(variant.mode === first.mode ? figures.opsPerSecond.median / rateOfFirst(row.cpus) : null),
          duration(figures.nsPerOp.median),
          ...shown(percent(relativeMad(figures.nsPerOp))),
          speedUpCell(row, figures),
          ratio(figures.fairness.median),
          topLock(row),
        ],
      })),
  };
}

/** The value alone: the title says whose it is.  A clock has a name. */
const shortLabel = ({ label, settings }: VariantResult): string =>
  settings.mode === undefined ? (Object.values(settings)[0] ?? label) : label;

function comparedCells(found: { row: Row; figures: PhaseRow } | undefined, variant: VariantResult): string[] {
  if (found === undefined) return ["-", "-", ...deviation(variant, "-"), "-"];
  const { row, figures } = found;
  return [
    count(figures.opsPerSecond.median),
    duration(figures.nsPerOp.median),
    ...deviation(variant, percent(relativeMad(figures.nsPerOp))),
    speedUpCell(row, figures),
  ];
}

const rowsWith = (variant: VariantResult, phase: string): { row: Row; figures: PhaseRow }[] =>
  variant.rows.flatMap((row) => {
    const figures = row.phases.find((p) => p.name === phase);
    return figures === undefined ? [] : [{ row, figures }];
  });

const isCutShort = (row: Row): boolean => row.runs.some((run) => run.cutShort);

function cpuCell(row: Row, variant: VariantResult): string {
  const marks = [
    row.oversubscribed ? OVERSUBSCRIBED : "",
    isExtrapolated(variant, row) ? EXTRAPOLATED : "",
    isCutShort(row) ? CUT_SHORT : "",
  ];
  return `${row.cpus}${marks.join("")}`;
}

const speedUpCell = (row: Row, figures: PhaseRow): string =>
  row.oversubscribed ? `(${ratio(figures.speedUp)})` : ratio(figures.speedUp);

function topLock(row: Row): string {
  const lock = row.locks.find((candidate) => candidate.contended > 0);
  return lock === undefined ? "-" : `${lock.name} ${percent(lock.waitShare)}`;
}

function inUnit(value: number, unit: string): string {
  if (unit === "ns") return duration(value);
  if (unit === "%") return `${ratio(value)} %`;
  return unit === "" ? count(value) : `${count(value)} ${unit}`;
}

const auditNote = ({ runs, differences }: AuditResult): string =>
  differences.length === 0
    ? `audit: ${plural(runs, "run")}, each done twice with the same clocks, statistics and RAM`
    : `audit: runs were not the same twice: ${differences.join("; ")}`;

/** Sentences that explain the marks in an experiment's tables. */
export function tableNotes(experiment: Experiment): string[] {
  const rows = experiment.variants.flatMap((v) => v.rows);
  const notes = simulationNotes(experiment);
  const crowded = rows.find((row) => row.oversubscribed);
  if (crowded !== undefined) {
    const cores = plural(Math.min(crowded.hostCores, crowded.tokens), "CPU");
    notes.push(
      `${OVERSUBSCRIBED} oversubscribed: only ${cores} can run at once here (${plural(crowded.hostCores, "host core")}), ` +
        "so this row shows how the kernel bears the crowd, not how it scales",
    );
  }
  const warning = loadWarning(experiment.othersShare);
  if (warning !== null) notes.push(warning);
  if (experiment.audit) notes.push(auditNote(experiment.audit));
  if (rows.some(isCutShort)) notes.push(`${CUT_SHORT} cut short: its run was stopped before its time was up`);
  return notes;
}
