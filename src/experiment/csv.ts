/**
 * The raw runs as a table in CSV (RFC 4180 quoting): one line a run and phase, so that statistics software can start
 * from the samples and not from our summary.
 */

import type { Experiment, Report, Row, RunSample, VariantResult } from "./report-model.ts";

const COLUMNS = [
  "workload",
  "variant",
  "mode",
  "cpus",
  "host_cores",
  "tokens",
  "oversubscribed",
  "phase",
  "repeat",
  "seed",
  "cut_short",
  "operations",
  "elapsed_ns",
  "ops_per_second",
  "ops_per_second_per_cpu",
  "ns_per_op",
  "fairness",
  "profile",
  "run_ns",
  "host_ms",
  "lock_wait_share",
  "most_waited_lock",
  "most_waited_share",
] as const;

type Record = readonly (string | number | boolean)[];

export function csvOf(report: Report): string {
  const lines: Record[] = [COLUMNS];
  for (const experiment of report.experiments) {
    for (const variant of experiment.variants) {
      for (const row of variant.rows) {
        for (const [i, run] of row.runs.entries()) lines.push(...runLines(experiment, variant, row, run, i));
      }
    }
  }
  return `${lines.map(csvLine).join("\n")}\n`;
}

function runLines(
  experiment: Experiment,
  variant: VariantResult,
  row: Row,
  run: RunSample,
  i: number,
): Record[] {
  return run.phases.map((phase) => [
    experiment.workload,
    variant.label,
    variant.mode,
    row.cpus,
    row.hostCores,
    row.tokens,
    row.oversubscribed,
    phase.name,
    i + 1,
    run.seed,
    run.cutShort,
    phase.operations,
    phase.elapsedNs,
    phase.opsPerSecond,
    phase.opsPerSecond / row.cpus,
    phase.nsPerOp,
    phase.fairness,
    variant.simulation?.profile ?? "",
    run.elapsedNs,
    run.wallMs,
    run.lockWaitShare,
    run.mostWaited?.name ?? "",
    run.mostWaited?.waitShare ?? 0,
  ]);
}

/** One line of CSV, without its end. */
export const csvLine = (cells: readonly (string | number | boolean)[]): string => cells.map(cell).join(",");

function cell(value: string | number | boolean): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
