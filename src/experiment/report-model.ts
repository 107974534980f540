/**
 * What an experiment found, as plain data: the one thing that tables, CSV, JSON, the HTML page and baselines are made of.
 */

import type { CacheLine, LineReport } from "../machine/line-report.ts";
import type { Fault, ProgramOptions, RunResult } from "../machine/program.ts";
import type { Hint } from "./cache-line-hints.ts";
import type { PhaseSample } from "./phase-metrics.ts";
import type { Spread } from "./statistics.ts";

export const REPORT_FORMAT = "smpsim-report";
export const REPORT_VERSION = 1;

export interface Report {
  readonly format: typeof REPORT_FORMAT;
  readonly version: typeof REPORT_VERSION;
  readonly title: string;
  /** The command line that repeats it. */
  readonly command: string;
  readonly createdAt: string;
  readonly versions: Versions;
  readonly host: Host;
  readonly experiments: readonly Experiment[];
}

export interface Versions {
  readonly smpsim: string;
  readonly node: string;
  readonly v8: string;
}

export interface Host {
  /** Cores that threads can run on at once. */
  readonly cores: number;
  readonly model: string;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly arch: string;
}

/** One workload swept over CPU counts, in one or more variants.  Mode, length and repeats are the first variant's. */
export interface Experiment {
  readonly title: string;
  readonly workload: string;
  readonly mode: RunResult["mode"];
  readonly seed: number;
  /** Length of a run; null when it is given in operations. */
  readonly seconds: number | null;
  readonly operations: number | null;
  readonly repeats: number;
  /** Machine settings and workload options common to all variants. */
  readonly machine: Readonly<Record<string, unknown>>;
  readonly options: ProgramOptions;
  readonly variants: readonly VariantResult[];
  /** What it cost the host. */
  readonly usage: HostUsage;
  /** Null when nobody asked for one. */
  readonly audit: AuditResult | null;
  /** Share of the host's cores that other programs used meanwhile; null when it cannot be told. */
  readonly othersShare: number | null;
  /** Ended early by Ctrl-C: rows are missing or rest on fewer runs. */
  readonly interrupted: boolean;
}

/** What an experiment cost the host: its time, and the most memory that the process had meanwhile. */
export interface HostUsage {
  readonly seconds: number;
  readonly peakMemoryBytes: number;
}

/** Whether runs that were done twice were the same twice. */
export interface AuditResult {
  readonly runs: number;
  /** What was not the same, a line each. */
  readonly differences: readonly string[];
}

/** The machine whose clock measured a variant in simulated time. */
export interface Simulation {
  readonly profile: string;
  readonly description: string;
  readonly clockGHz: number;
  /** CPUs of the real machine; a row with more is of a machine that nobody has measured. */
  readonly maxCpus: number;
}

export interface VariantResult {
  /** "" when there is only one. */
  readonly label: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Whose clock its figures are by. */
  readonly mode: RunResult["mode"];
  /** Null by the host's clock. */
  readonly simulation: Simulation | null;
  /** Length of a run by that clock; null when it is given in operations. */
  readonly seconds: number | null;
  readonly repeats: number;
  readonly rows: readonly Row[];
}

/** All runs with one number of CPUs. */
export interface Row {
  readonly cpus: number;
  readonly hostCores: number;
  readonly tokens: number;
  readonly pinned: boolean;
  /** More CPUs than can run at once by the host's clock: its throughput says nothing about scaling. */
  readonly oversubscribed: boolean;
  readonly runs: readonly RunSample[];
  readonly phases: readonly PhaseRow[];
  /** Most waited-for first. */
  readonly locks: readonly LockRow[];
  readonly metrics: readonly MetricRow[];
  /** Interrupts taken per vector, summed over runs and CPUs. */
  readonly interrupts: Readonly<Record<string, number>>;
  /** Lines that travelled between caches in the last run; null when they were not counted. */
  readonly cacheLines: ExplainedLines | null;
  readonly fault: Fault | null;
}

/** The cache-line report with advice. */
export interface ExplainedLines extends LineReport {
  readonly lines: readonly ExplainedLine[];
}
export interface ExplainedLine extends CacheLine {
  readonly hints: readonly Hint[];
}

export interface RunSample {
  readonly seed: number;
  readonly wallMs: number;
  /** Stopped by Ctrl-C before its time was up. */
  readonly cutShort: boolean;
  readonly parks: number;
  readonly slices: number;
  /** From the common start until the last CPU's program ended, by the mode's clock. */
  readonly elapsedNs: number;
  /** Share of all CPU time of the run that was spent waiting for locks. */
  readonly lockWaitShare: number;
  /** The lock with the longest waits; null when nobody waited. */
  readonly mostWaited: LockWait | null;
  readonly phases: readonly PhaseSample[];
}

export interface LockWait {
  readonly name: string;
  readonly waitShare: number;
}

export interface PhaseRow {
  readonly name: string;
  readonly opsPerSecond: Spread;
  readonly opsPerSecondPerCpu: number;
  readonly nsPerOp: Spread;
  readonly fairness: Spread;
  /** Throughput over that of the variant's row with the fewest CPUs; null without such a row. */
  readonly speedUp: number | null;
  /** What the speed-up would be if each further CPU that can run at once added as much as the first. */
  readonly ideal: number | null;
  /** CPUs of the row that speed-up is taken against. */
  readonly baseCpus: number | null;
  /** Median operations a second of each CPU, by CPU number; null for one that takes no part. */
  readonly perCpu: readonly (number | null)[];
}

export interface LockRow {
  readonly name: string;
  readonly acquisitions: number;
  readonly contended: number;
  readonly waitNs: number;
  readonly waitMaxNs: number;
  readonly heldNs: number;
  /** Share of all CPU time of the run, from the common start on, that was spent waiting for this lock. */
  readonly waitShare: number;
}

/** A figure that the workload itself measured. */
export interface MetricRow {
  readonly name: string;
  readonly unit: string;
  /** Over all CPUs of all runs. */
  readonly spread: Spread;
}
