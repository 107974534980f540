/** A whole benchmark in one call, for the library: what `smpsim bench` does, without printing. */

import type { MachineConfig } from "../machine/config.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { Audit } from "./audit.ts";
import { hostDescription, versions } from "./host.ts";
import { runOnMachine } from "./machine-runner.ts";
import { experimentOf, planSweep } from "./plan.ts";
import { type Experiment, REPORT_FORMAT, REPORT_VERSION, type Report } from "./report-model.ts";
import { descriptionOf } from "./settings.ts";
import { type SweepProgress, sweep } from "./sweep.ts";

export interface BenchOptions {
  /** Numbers of CPUs.  Default 1 and 2. */
  readonly cpus?: readonly number[];
  /** Runs a row.  Default 3; in simulated time, where runs repeat bit for bit, 1. */
  readonly repeats?: number;
  /** Length of a run.  Default 1; in simulated time 0.0005 of it. */
  readonly seconds?: number;
  /** Operations a CPU instead of a time. */
  readonly operations?: number;
  /** "key=a,b": each value of a machine's or workload's setting in turn. */
  readonly compare?: string;
  /** The machine but for its CPUs. */
  readonly machine?: Omit<MachineConfig, "cpus">;
  /** The workload's own options. */
  readonly options?: ProgramOptions;
  /** Test every subsystem's invariants after each run. */
  readonly check?: boolean;
  /** Simulated time: do each run twice, and compare clocks, statistics and RAM. */
  readonly audit?: boolean;
  /** Ends it early; what was measured is kept. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
}

/**
 * Measures `workload` (a name, or a path to a kernel module) over numbers of CPUs.  The report goes to `htmlReport`,
 * `csvOf`, or JSON.stringify.  Throws UsageError for anything that is not valid, before the first run.
 */
export async function bench(workload: string, options: BenchOptions = {}): Promise<Report> {
  const { signal, onProgress, machine = {}, options: given = {}, ...wish } = options;
  const plan = planSweep({
    cpus: [1, 2],
    ...wish,
    workload,
    description: await descriptionOf(workload),
    machine,
    options: given,
  });
  const audit = wish.audit ? new Audit() : null;
  const outcome = await sweep(plan, {
    run: audit?.run ?? runOnMachine,
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  return reportOf(workload, `bench("${workload}")`, [experimentOf(plan, outcome, workload, audit?.result)]);
}

/** A report of what this host measured just now; `command` is what repeats it. */
export function reportOf(title: string, command: string, experiments: readonly Experiment[]): Report {
  return {
    format: REPORT_FORMAT,
    version: REPORT_VERSION,
    title,
    command,
    createdAt: new Date().toISOString(),
    versions: versions(),
    host: hostDescription(),
    experiments,
  };
}
