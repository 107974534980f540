/**
 * A sweep: one workload over CPU counts, repeats and variants, each run on a machine of its own.
 *
 * A fresh machine for each run keeps repeats independent: the fragmentation that one leaves is not the next one's start.
 * The threads live on between machines, so a row is warm after its warm-up run.  Variants take turns within a repeat,
 * in alternating order, so that a drift of the host's speed hits all alike.
 */

import type { MachineConfig } from "../machine/config.ts";
import type { ProgramOptions, RunResult } from "../machine/program.ts";
import { type Clock, clockOf, simulationOf } from "./clock.ts";
import { HostLoad } from "./host-load.ts";
import type { HostUsage, Row, VariantResult } from "./report-model.ts";
import { relateRows, summariseRow } from "./summarise.ts";

/** A choice to compare: what it sets on top of the plan's own settings. */
export interface Variant {
  readonly label: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
  /** Instead of the plan's: where one variant goes by the host's clock and another by a simulated one. */
  readonly cpus?: readonly number[];
  readonly repeats?: number;
  readonly seconds?: number;
}

export interface SweepPlan {
  readonly workload: string;
  /** Ascending; those of all variants. */
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
  /** Runs of the row. */
  readonly repeats: number;
}

export interface SweepOptions {
  readonly run: Runner;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
}

export interface SweepOutcome {
  readonly variants: readonly VariantResult[];
  readonly interrupted: boolean;
  readonly usage: HostUsage;
  readonly othersShare: number | null;
}

/** Length of a warm-up run: long enough for the compiler, short against what is measured. */
const WARM_UP_SECONDS = 0.25;
const WARM_UP_SHARE = 0.5;

/** Runs the plan.  Ends early on the signal, keeping what was measured, and at the first fault. */
export async function sweep(plan: SweepPlan, options: SweepOptions): Promise<SweepOutcome> {
  const results = plan.variants.map(() => new Map<number, RunResult[]>());
  const modes = plan.variants.map((variant) => clockOf({ ...plan.machine, ...variant.machine }));
  const steps = stepsOf(plan, modes);
  const load = new HostLoad();
  const startedAt = performance.now();
  let [broken, peakMemoryBytes] = [false, 0];
  for (const [done, step] of steps.entries()) {
    if (broken || options.signal?.aborted) break;
    const variant = plan.variants[step.variant];
    const repeats = repeatsOf(plan, variant);
    options.onProgress?.({ done, total: steps.length, ...step, repeats, variant: variant.label });
    const result = await options.run(requestFor(plan, step, options.signal));
    peakMemoryBytes = Math.max(peakMemoryBytes, process.memoryUsage.rss());
    broken = result.fault !== null;
    if (step.repeat === 0 && !broken) continue;
    const rows = results[step.variant];
    rows.set(step.cpus, [...(rows.get(step.cpus) ?? []), result]);
  }
  return {
    variants: plan.variants.map((variant, i) => ({
      label: variant.label,
      settings: variant.settings,
      mode: modes[i],
      simulation: simulationOf({ ...plan.machine, ...variant.machine }),
      seconds: variant.seconds ?? plan.seconds ?? null,
      repeats: repeatsOf(plan, variant),
      rows: relateRows(rowsOf(results[i]), modes[i]),
    })),
    interrupted: options.signal?.aborted ?? false,
    usage: { seconds: (performance.now() - startedAt) / 1000, peakMemoryBytes },
    // Simulated time does not mind who else uses the host.
    othersShare: modes.includes("parallel") ? load.othersShare() : null,
  };
}

const repeatsOf = (plan: SweepPlan, variant: Variant): number => variant.repeats ?? plan.repeats;

interface Step {
  readonly cpus: number;
  readonly variant: number;
  readonly repeat: number;
}

/**
 * Repeat 0 is the warm-up; simulated time is the same cold and warm, and has none.  There the largest machine comes first,
 * since the smaller ones then find their threads.
 */
function stepsOf(plan: SweepPlan, modes: readonly Clock[]): Step[] {
  const { variants, cpus } = plan;
  const most = Math.max(...variants.map((variant) => repeatsOf(plan, variant)));
  const rows = (clock: Clock, counts: readonly number[], firstRepeat: number): Step[] => {
    const forward = variants.flatMap((_, i) => (modes[i] === clock ? [i] : []));
    const backward = forward.toReversed();
    const has = (variant: number, count: number, repeat: number): boolean =>
      (variants[variant].cpus ?? cpus).includes(count) && repeat <= repeatsOf(plan, variants[variant]);
    return counts.flatMap((count) =>
      Array.from({ length: most + 1 - firstRepeat }, (_, i) => firstRepeat + i).flatMap((repeat) =>
        (repeat % 2 === 0 ? backward : forward)
          .filter((variant) => has(variant, count, repeat))
          .map((variant) => ({ cpus: count, variant, repeat })),
      ),
    );
  };
  return [...rows("parallel", cpus, 0), ...rows("virtual", cpus.toReversed(), 1)];
}

function requestFor(plan: SweepPlan, step: Step, signal: AbortSignal | undefined): RunRequest {
  const variant = plan.variants[step.variant];
  const isWarmUp = step.repeat === 0;
  // A warm-up in operations is as long as the rest: a program may need them all to reach its steady state.
  const length = variant.seconds ?? plan.seconds;
  const seconds =
    isWarmUp && length !== undefined ? Math.min(WARM_UP_SECONDS, length * WARM_UP_SHARE) : length;
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
