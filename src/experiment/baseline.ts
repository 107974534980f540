/**
 * Compares a report with an older one and says of each row: faster, slower, same, or unclear.
 *
 * The verdict needs both: an interval of the throughput ratio that excludes 1, and a ratio beyond the threshold.
 * "Same" is a finding too: the whole interval lies within the threshold.  Everything else is unclear, and more repeats
 * help.  Single runs in simulated time need no interval: they repeat exactly.  Otherwise ratio and interval are Hodges and Lehmann's (rank-test.ts); that a verdict rests on an interval of the effect
 * and not on a test alone follows Kalibera and Jones, "Rigorous benchmarking in reasonable time" (ISMM 2013).
 * What it cannot see: differences between two invocations that are there without any change (memory placement, other
 * load); compare reports that ran on the same quiet host, and repeat both.
 */

import { loadWarning } from "./host-load.ts";
import { rankTest, ratioInterval } from "./rank-test.ts";
import type { Experiment, PhaseRow, Report, Row } from "./report-model.ts";

/** Three runs against three can reach 90 % and not more. */
export const DEFAULT_CONFIDENCE = 0.9;
export const DEFAULT_THRESHOLD = 0.05;

export type Verdict = "faster" | "slower" | "same" | "unclear";

export interface ComparedRow {
  readonly workload: string;
  readonly variant: string;
  readonly phase: string;
  readonly cpus: number;
  readonly oversubscribed: boolean;
  readonly oldOpsPerSecond: number;
  readonly newOpsPerSecond: number;
  /** New throughput over old, and its interval. */
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  readonly p: number;
  readonly verdict: Verdict;
}

export interface BaselineComparison {
  readonly confidence: number;
  readonly threshold: number;
  readonly rows: readonly ComparedRow[];
  /** What differs between the two besides the throughput. */
  readonly warnings: readonly string[];
}

export interface BaselineOptions {
  readonly confidence?: number;
  readonly threshold?: number;
}

export function compareWithBaseline(
  current: Report,
  old: Report,
  options: BaselineOptions = {},
): BaselineComparison {
  const { confidence = DEFAULT_CONFIDENCE, threshold = DEFAULT_THRESHOLD } = options;
  const before = new Map(entriesOf(old).map((entry) => [keyOf(entry), entry]));
  const warnings = hostWarnings(current, old);
  const rows: ComparedRow[] = [];
  for (const entry of entriesOf(current)) {
    const match = before.get(keyOf(entry));
    if (match === undefined) {
      warnings.push(`${nameOf(entry)} is not in the baseline`);
      continue;
    }
    warnings.push(...settingWarnings(entry, match));
    const [first, second] = [samplesOf(match), samplesOf(entry)];
    const interval = isExact(entry, match)
      ? exactRatio(match, entry)
      : ratioInterval(first, second, confidence);
    rows.push({
      workload: entry.experiment.workload,
      variant: entry.variant,
      phase: entry.phase.name,
      cpus: entry.row.cpus,
      oversubscribed: entry.row.oversubscribed,
      oldOpsPerSecond: match.phase.opsPerSecond.median,
      newOpsPerSecond: entry.phase.opsPerSecond.median,
      ...interval,
      p: isExact(entry, match) ? Number(interval.ratio === 1) : rankTest(first, second).p,
      verdict: verdictOf(interval, threshold),
    });
  }
  return { confidence, threshold, rows, warnings: [...new Set(warnings)] };
}

/** Single runs in simulated time repeat bit for bit: what differs between them is a difference. */
const isExact = (...entries: readonly Entry[]): boolean =>
  entries.every(({ mode, row }) => mode === "virtual" && row.runs.length === 1);

function exactRatio(before: Entry, after: Entry): { ratio: number; low: number; high: number } {
  const ratio = after.phase.opsPerSecond.median / before.phase.opsPerSecond.median;
  return { ratio, low: ratio, high: ratio };
}

/** See the module's header. */
export function verdictOf(
  interval: { readonly ratio: number; readonly low: number; readonly high: number },
  threshold: number,
): Verdict {
  const { ratio, low, high } = interval;
  if (low > 1 && ratio >= 1 + threshold) return "faster";
  if (high < 1 && ratio <= 1 / (1 + threshold)) return "slower";
  if (low >= 1 / (1 + threshold) && high <= 1 + threshold) return "same";
  return "unclear";
}

interface Entry {
  readonly experiment: Experiment;
  readonly variant: string;
  readonly mode: Experiment["mode"];
  /** The simulated machine; "" by the host's clock. */
  readonly profile: string;
  readonly row: Row;
  readonly phase: PhaseRow;
}

function entriesOf(report: Report): Entry[] {
  return report.experiments.flatMap((experiment) =>
    experiment.variants.flatMap(({ label, rows, ...variant }) => {
      // Reports of before simulated time have neither.
      const mode = variant.mode ?? experiment.mode;
      const profile = variant.simulation?.profile ?? "";
      const entry = { experiment, variant: label, mode, profile };
      return rows.flatMap((row) => row.phases.map((phase) => ({ ...entry, row, phase })));
    }),
  );
}

const keyOf = (entry: Entry): string =>
  JSON.stringify([
    entry.experiment.title,
    entry.experiment.workload,
    entry.mode,
    entry.variant,
    entry.phase.name,
    entry.row.cpus,
  ]);

function nameOf({ experiment, variant, row, phase }: Entry): string {
  const what = [experiment.workload, variant, phase.name].filter((part) => part !== "").join(" ");
  return `${what} with ${row.cpus} CPU${row.cpus === 1 ? "" : "s"}`;
}

const samplesOf = ({ row, phase }: Entry): number[] =>
  row.runs.flatMap((run) => run.phases.filter((p) => p.name === phase.name).map((p) => p.opsPerSecond));

function hostWarnings(current: Report, old: Report): string[] {
  const warnings: string[] = [];
  const note = (what: string, before: unknown, after: unknown): void => {
    if (before !== after) warnings.push(`${what} differs: ${before} in the baseline, ${after} here`);
  };
  note("the number of host cores", old.host?.cores, current.host.cores);
  note("the host's processor", old.host?.model, current.host.model);
  note("the version of Node", old.versions?.node, current.versions.node);
  return warnings;
}

function settingWarnings(entry: Entry, match: Entry): string[] {
  const sides = [
    ["the baseline", match],
    ["this run", entry],
  ] as const;
  const busy = sides.flatMap(([when, { experiment }]) => {
    const warning = loadWarning(experiment.othersShare ?? null);
    return warning === null ? [] : [`${experiment.workload}, ${when}: ${warning}`];
  });
  const machines =
    entry.profile === match.profile
      ? []
      : [`the simulated machine differs: ${match.profile} in the baseline, ${entry.profile} here`];
  return [...busy, ...machines, ...differences(entry, match)];
}

function differences(entry: Entry, match: Entry): string[] {
  const fields = ["seconds", "operations", "machine", "options"] as const;
  return fields
    .filter((field) => JSON.stringify(entry.experiment[field]) !== JSON.stringify(match.experiment[field]))
    .map(
      (field) =>
        `${entry.experiment.workload}: ${field} differ: ${JSON.stringify(match.experiment[field])} in the ` +
        `baseline, ${JSON.stringify(entry.experiment[field])} here`,
    );
}
