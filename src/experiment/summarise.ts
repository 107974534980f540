/** Sums up the runs of one sweep row, and relates the rows of a variant to each other. */

import type { LockResult, RunResult } from "../machine/program.ts";
import type { MetricsValue } from "../workloads/description.ts";
import { hintsFor } from "./cache-line-hints.ts";
import { type PhaseSample, phaseSamples, rateOf } from "./phase-metrics.ts";
import type { ExplainedLines, LockRow, MetricRow, PhaseRow, Row, RunSample } from "./report-model.ts";
import { medianOf, spreadOf } from "./statistics.ts";

/** The row of `results`, runs of one configuration, without speed-ups; there is at least one. */
export function summariseRow(results: readonly RunResult[]): Row {
  const last = results[results.length - 1];
  const runs = usable(results.map(sampleOf));
  return {
    cpus: last.cpus,
    hostCores: last.hostCores,
    tokens: last.tokens,
    pinned: last.pinned,
    oversubscribed: last.cpus > runningAtOnce(last),
    runs,
    phases: phaseNames(runs).map((name) => phaseRow(name, runs, last.cpus)),
    locks: lockRows(results),
    metrics: metricRows(results),
    interrupts: addInterrupts(results),
    cacheLines: explainedLines(results),
    fault: results.find((result) => result.fault !== null)?.fault ?? null,
  };
}

/** Of the last run that counted them. */
function explainedLines(results: readonly RunResult[]): ExplainedLines | null {
  const report = results.findLast(({ cacheLines }) => cacheLines !== null)?.cacheLines ?? null;
  if (report === null) return null;
  return { ...report, lines: report.lines.map((line) => ({ ...line, hints: hintsFor(line) })) };
}

/** How many of a run's CPUs make progress at the same instant of the mode's time. */
function runningAtOnce(run: Pick<RunResult, "mode" | "cpus" | "hostCores" | "tokens">): number {
  return run.mode === "parallel" ? Math.min(run.cpus, run.hostCores, run.tokens) : run.cpus;
}

/** Fills in speed-ups and ideals, each phase against its row with the fewest CPUs.  Rows come in ascending order. */
export function relateRows(rows: readonly Row[], mode: RunResult["mode"]): Row[] {
  return rows.map((row) => ({
    ...row,
    phases: row.phases.map((phase) => {
      const base = rows.find((candidate) => candidate.phases.some((p) => p.name === phase.name));
      const basePhase = base?.phases.find((p) => p.name === phase.name);
      if (base === undefined || basePhase === undefined) return phase;
      return {
        ...phase,
        speedUp: phase.opsPerSecond.median / basePhase.opsPerSecond.median,
        ideal: runningAtOnce({ ...row, mode }) / runningAtOnce({ ...base, mode }),
        baseCpus: base.cpus,
      };
    }),
  }));
}

function sampleOf(result: RunResult): RunSample {
  const sum = (pick: (cpu: RunResult["cpuResults"][number]) => number): number =>
    result.cpuResults.reduce((total, cpu) => total + pick(cpu), 0);
  const locks = lockRows([result]);
  const [first] = locks.filter((lock) => lock.contended > 0);
  return {
    seed: result.seed,
    wallMs: result.wallMs,
    cutShort: result.interrupted,
    parks: sum((cpu) => cpu.parks),
    slices: sum((cpu) => cpu.slices),
    elapsedNs: Math.max(0, ...result.cpuResults.map((cpu) => cpu.elapsedNs)),
    lockWaitShare: locks.reduce((total, lock) => total + lock.waitShare, 0),
    mostWaited: first === undefined ? null : { name: first.name, waitShare: first.waitShare },
    phases: phaseSamples(result),
  };
}

/** A run cut short counts only where there is no whole one: a few ms of it would pull the median about. */
function usable(samples: readonly RunSample[]): readonly RunSample[] {
  const measured = samples.filter((sample) => sample.phases.length > 0);
  const whole = measured.filter((sample) => !sample.cutShort);
  return whole.length > 0 ? whole : measured;
}

const phaseNames = (runs: readonly RunSample[]): string[] => [
  ...new Set(runs.flatMap((run) => run.phases.map((phase) => phase.name))),
];

function phaseRow(name: string, runs: readonly RunSample[], cpus: number): PhaseRow {
  const samples = runs.flatMap((run) => run.phases.filter((phase) => phase.name === name));
  const pick = (field: "opsPerSecond" | "nsPerOp" | "fairness"): number[] => samples.map((s) => s[field]);
  const opsPerSecond = spreadOf(pick("opsPerSecond"));
  return {
    name,
    opsPerSecond,
    opsPerSecondPerCpu: opsPerSecond.median / cpus,
    nsPerOp: spreadOf(pick("nsPerOp")),
    fairness: spreadOf(pick("fairness")),
    speedUp: null,
    ideal: null,
    baseCpus: null,
    perCpu: medianRates(samples, cpus),
  };
}

function medianRates(samples: readonly PhaseSample[], cpus: number): (number | null)[] {
  return Array.from({ length: cpus }, (_, cpu) => {
    const shares = samples.flatMap((sample) => sample.perCpu.filter((share) => share.cpu === cpu));
    return shares.length === 0 ? null : medianOf(shares.map(rateOf));
  });
}

function lockRows(results: readonly RunResult[]): LockRow[] {
  const cpuTimeNs = results
    .flatMap((result) => result.cpuResults)
    .reduce((total, cpu) => total + cpu.elapsedNs, 0);
  const classes = Map.groupBy(
    results.flatMap((result) => result.locks),
    (lock) => lock.name,
  );
  const rows = [...classes].map(([name, locks]) => lockRow(name, locks, cpuTimeNs));
  return rows
    .filter((row) => row.acquisitions > 0 || row.contended > 0)
    .toSorted((a, b) => b.waitNs - a.waitNs || b.acquisitions - a.acquisitions);
}

function lockRow(name: string, locks: readonly LockResult[], cpuTimeNs: number): LockRow {
  const total = (pick: (lock: LockResult) => number): number => locks.reduce((sum, l) => sum + pick(l), 0);
  const waitNs = total((lock) => lock.waitNs);
  return {
    name,
    acquisitions: total((lock) => lock.acquisitions),
    contended: total((lock) => lock.contended),
    waitNs,
    waitMaxNs: Math.max(...locks.map((lock) => lock.waitMaxNs)),
    heldNs: total((lock) => lock.heldNs),
    waitShare: cpuTimeNs > 0 ? waitNs / cpuTimeNs : 0,
  };
}

function metricRows(results: readonly RunResult[]): MetricRow[] {
  const found = results
    .flatMap((result) => result.cpuResults)
    .flatMap((cpu) => Object.entries((cpu.value as Partial<MetricsValue> | null)?.metrics ?? {}));
  return [...Map.groupBy(found, ([name]) => name)].map(([name, entries]) => ({
    name,
    unit: entries[0][1].unit,
    spread: spreadOf(entries.map(([, metric]) => metric.value)),
  }));
}

function addInterrupts(results: readonly RunResult[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { interrupts } of results) {
    for (const [vector, count] of Object.entries(interrupts)) total[vector] = (total[vector] ?? 0) + count;
  }
  return total;
}
