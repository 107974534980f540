/**
 * A sweep: one workload over CPU counts, repeats and variants, each run on a machine of its own.
 *
 * A fresh machine for each run keeps repeats independent: the fragmentation that one leaves is not the next one's start.
 * The threads live on between machines, so a row is warm after its warm-up run.  Variants take turns within a repeat,
 * in alternating order, so that a drift of the host's speed hits all alike.
 */

import type { MachineConfig } from "../machine/config.ts";
import type { ProgramOptions, RunResult } from "../machine/program.ts";
import { HostLoad } from "./host-load.ts";
import type { Row, VariantResult } from "./report-model.ts";
import { relateRows, summariseRow } from "./summarise.ts";

/** A choice to compare: what it sets on top of the plan's own settings. */
export interface Variant {
  readonly label: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
}

export interface SweepPlan {
  readonly workload: string;
  /** Ascending. */
  readonly cpus: readonly number[];
  readonly repeats: number;
  readonly variants: readonly Variant[];
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
  readonly seed: number;
  /** One of the two: how long a run lasts, or how many operations a CPU does. */
  readonly seconds?: number;
  readonly operations?: number;
  /** Test every subsystem's invariants after each run. */
  readonly check: boolean;
}

/** One run to do: what the sweep asks of its runner. */
export interface RunRequest {
  readonly workload: string;
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
  readonly seconds?: number;
  readonly operations?: number;
  readonly check: boolean;
  readonly signal?: AbortSignal;
}

export type Runner = (request: RunRequest) => Promise<RunResult>;

export interface SweepProgress {
  readonly done: number;
  readonly total: number;
  readonly cpus: number;
  readonly variant: string;
  /** 0 is the warm-up. */
  readonly repeat: number;
}

export interface SweepOptions {
  readonly run: Runner;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
}

export interface SweepOutcome {
  readonly mode: RunResult["mode"];
  readonly variants: readonly VariantResult[];
  readonly interrupted: boolean;
  readonly othersShare: number | null;
}

/** Length of a warm-up run: long enough for the compiler, short against what is measured. */
const WARM_UP_SECONDS = 0.25;
const WARM_UP_SHARE = 0.5;

/** Runs the plan.  Ends early on the signal, keeping what was measured, and at the first fault. */
export async function sweep(plan: SweepPlan, options: SweepOptions): Promise<SweepOutcome> {
  const results = plan.variants.map(() => new Map<number, RunResult[]>());
  const steps = stepsOf(plan);
  const load = new HostLoad();
  let broken = false;
  for (const [done, step] of steps.entries()) {
    if (broken || options.signal?.aborted) break;
    const variant = plan.variants[step.variant];
    options.onProgress?.({ done, total: steps.length, ...step, variant: variant.label });
    const result = await options.run(requestFor(plan, step, options.signal));
    broken = result.fault !== null;
    if (step.repeat === 0 && !broken) continue;
    const rows = results[step.variant];
    rows.set(step.cpus, [...(rows.get(step.cpus) ?? []), result]);
  }
  const modes = plan.variants.map((variant) => modeOf(plan, variant));
  return {
    mode: modes[0],
    variants: plan.variants.map((variant, i) => ({
      label: variant.label,
      settings: variant.settings,
      rows: relateRows(rowsOf(results[i]), modes[i]),
    })),
    interrupted: options.signal?.aborted ?? false,
    // Simulated time does not mind who else uses the host.
    othersShare: modes.includes("parallel") ? load.othersShare() : null,
  };
}

const modeOf = (plan: SweepPlan, variant: Variant): RunResult["mode"] =>
  variant.machine.mode ?? plan.machine.mode ?? "parallel";

interface Step {
  readonly cpus: number;
  readonly variant: number;
  readonly repeat: number;
}

/** Repeat 0 is the warm-up; simulated time is the same cold and warm, and has none. */
function stepsOf(plan: SweepPlan): Step[] {
  const forward = plan.variants.map((_, i) => i);
  const backward = forward.toReversed();
  const isWarm = (variant: number): boolean => modeOf(plan, plan.variants[variant]) !== "parallel";
  return plan.cpus.flatMap((cpus) =>
    Array.from({ length: plan.repeats + 1 }, (_, repeat) => repeat).flatMap((repeat) =>
      (repeat % 2 === 0 ? backward : forward)
        .filter((variant) => repeat > 0 || !isWarm(variant))
        .map((variant) => ({ cpus, variant, repeat })),
    ),
  );
}

function requestFor(plan: SweepPlan, step: Step, signal: AbortSignal | undefined): RunRequest {
  const variant = plan.variants[step.variant];
  const isWarmUp = step.repeat === 0;
  // A warm-up in operations is as long as the rest: a program may need them all to reach its steady state.
  const seconds =
    isWarmUp && plan.seconds !== undefined
      ? Math.min(WARM_UP_SECONDS, plan.seconds * WARM_UP_SHARE)
      : plan.seconds;
  // Seeds are words: the last one is followed by 0.
  const seed = (plan.seed + Math.max(0, step.repeat - 1)) >>> 0;
  return {
    workload: plan.workload,
    machine: { ...plan.machine, ...variant.machine, cpus: step.cpus, seed },
    options: { ...plan.options, ...variant.options },
    ...(seconds === undefined ? {} : { seconds }),
    ...(plan.operations === undefined ? {} : { operations: plan.operations }),
    check: plan.check && !isWarmUp,
    ...(signal === undefined ? {} : { signal }),
  };
}

function rowsOf(results: ReadonlyMap<number, readonly RunResult[]>): Row[] {
  return [...results].toSorted(([a], [b]) => a - b).map(([, runs]) => summariseRow(runs));
}
