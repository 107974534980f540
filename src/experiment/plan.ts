/**
 * From what a user asks for to a sweep's plan: variants spelled out, and every machine of it checked before the first
 * run, so that a wrong value costs no waiting.
 */

import { availableParallelism } from "node:os";
import { type MachineConfig, resolveConfig, SIMULATED_TIME_KEYS } from "../machine/config.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { UsageError } from "../memory/bug.ts";
import { resolveOptions, type WorkloadDescription } from "../workloads/description.ts";
import { type Clock, clockOf, LENGTHS, runSeconds, simulationOf } from "./clock.ts";
import type { AuditResult, Experiment } from "./report-model.ts";
import { parseSetting, splitSettings } from "./settings.ts";
import type { SweepOutcome, SweepPlan, Variant } from "./sweep.ts";

export interface SweepWish {
  readonly workload: string;
  readonly description: WorkloadDescription | null;
  readonly cpus: readonly number[];
  /** Default: as usual for the clock (see clock). */
  readonly repeats?: number;
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
  /** "key=a,b": a variant for each value. */
  readonly compare?: string;
  readonly seconds?: number;
  readonly operations?: number;
  readonly check?: boolean;
  /** Each run is done twice and compared; only in simulated time. */
  readonly audit?: boolean;
}

/** The plan for `wish`.  Throws UsageError when any machine or option of it is not valid. */
export function planSweep(wish: SweepWish): SweepPlan {
  const { description, workload, options, operations } = wish;
  const cpus = [...new Set(wish.cpus)].toSorted((a, b) => a - b);
  const fewest = description?.minCpus ?? 1;
  if (cpus.length === 0 || cpus[0] < fewest) {
    throw new UsageError(`${workload} needs at least ${fewest} CPUs; --cpus has ${cpus[0] ?? "none"}`);
  }
  const chosen = variantsOf(wish);
  const clocks = chosen.map((variant) => clockOf({ ...wish.machine, ...variant.machine }));
  const [clock] = clocks;
  if (wish.audit && clocks.includes("parallel")) {
    throw new UsageError(
      "audit: needs simulated time (--mode virtual): by the host's clock no run is like another",
    );
  }
  const isMixed = clocks.some((other) => other !== clock);
  const machine = isMixed ? partOf(wish.machine, (key) => !isSimulatedOnly(key)) : wish.machine;
  const variants = isMixed ? chosen.map((variant, i) => byItsClock(variant, clocks[i], cpus, wish)) : chosen;
  for (const variant of variants) {
    for (const count of cpus) resolveConfig({ ...machine, ...variant.machine, cpus: count });
    if (description !== null) resolveOptions(description, { ...options, ...variant.options });
  }
  return {
    workload,
    cpus,
    repeats: wish.repeats ?? LENGTHS[clock].repeats,
    variants,
    machine,
    options,
    seed: machine.seed ?? 1,
    ...(operations === undefined
      ? { seconds: runSeconds(clock, isMixed ? undefined : wish.seconds) }
      : { operations }),
    check: wish.check ?? false,
  };
}

const isSimulatedOnly = (key: string): boolean => (SIMULATED_TIME_KEYS as readonly string[]).includes(key);

const partOf = (machine: MachineConfig, isWanted: (key: string) => boolean): MachineConfig =>
  Object.fromEntries(Object.entries(machine).filter(([key]) => isWanted(key)));

/**
 * A variant in company of one by the other clock: each has the length that is usual for its own, and the host's clock
 * goes no farther than the host's cores, beyond which it shows no scaling to compare with.  Settings of simulated time
 * are for those who have it.
 */
function byItsClock(variant: Variant, clock: Clock, cpus: readonly number[], wish: SweepWish): Variant {
  const lengths = LENGTHS[clock];
  const { seconds, operations } = wish;
  // A length that the host's clock may have is meant for it.
  const isMeant = clock === "parallel" && seconds !== undefined;
  const cores = availableParallelism();
  const within = clock === "virtual" ? cpus : cpus.filter((count) => count <= cores);
  const own = clock === "virtual" ? partOf(wish.machine, isSimulatedOnly) : {};
  return {
    ...variant,
    machine: { ...own, ...variant.machine },
    label: nameOf(clock, { ...wish.machine, ...variant.machine }),
    cpus: within.length > 0 ? within : cpus.slice(0, 1),
    repeats: clock === "virtual" ? lengths.repeats : (wish.repeats ?? lengths.repeats),
    ...(operations === undefined ? { seconds: isMeant ? runSeconds(clock, seconds) : lengths.seconds } : {}),
  };
}

/** What a curve is called beside one by the other clock. */
const nameOf = (clock: Clock, machine: MachineConfig): string =>
  clock === "virtual" ? `simulated ${simulationOf(machine)?.profile}` : "this computer";

/** What the report says of a plan that was run. */
export function experimentOf(
  plan: SweepPlan,
  outcome: SweepOutcome,
  title: string,
  audit: AuditResult | null = null,
): Experiment {
  const { cpus: _, ...machine } = plan.machine;
  return {
    title,
    workload: plan.workload,
    mode: outcome.variants[0].mode,
    seed: plan.seed,
    seconds: plan.seconds ?? null,
    operations: plan.operations ?? null,
    repeats: plan.repeats,
    machine: { ...machine },
    options: plan.options,
    variants: outcome.variants,
    usage: outcome.usage,
    audit,
    othersShare: outcome.othersShare,
    interrupted: outcome.interrupted,
  };
}

function variantsOf({ compare, description }: SweepWish): Variant[] {
  if (compare === undefined) return [{ label: "", settings: {}, machine: {}, options: {} }];
  const { key, value } = parseSetting(compare, "--compare");
  const values = value.split(",").map((part) => part.trim());
  if (values.length < 2 || values.includes("") || new Set(values).size < values.length) {
    throw new UsageError(
      `--compare: "${compare}" is not valid; write a key and two or more different values, ` +
        "for example pageLists=6.12,off",
    );
  }
  return values.map((one) => ({
    label: `${key}=${one}`,
    settings: { [key]: one },
    ...splitSettings([{ key, value: one }], description, "--compare"),
  }));
}
