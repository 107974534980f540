/**
 * Exploring and replaying: a scenario under many schedules, and one schedule again.
 *
 * Everything that decides an execution is in the schedule string: scenario, CPUs, mutants, and the decisions.  A replay
 * runs it on a fresh machine of the same shape, and says plainly when the program is not the one that was recorded.
 */

import { availableParallelism } from "node:os";
import { UsageError } from "../memory/bug.ts";
import type { CampaignPlan } from "../schedule/explore/campaign.ts";
import { parseSchedule, type Schedule } from "../schedule/explore/schedule-string.ts";
import { MAX_EXPLORE_CPUS } from "../schedule/explore/state.ts";
import { type FailureReport, reportFailure } from "./explore-report.ts";
import type { CampaignProgress, CampaignResult } from "./explore-run.ts";
import { shrinkFailure } from "./explore-shrink.ts";
import { Machine } from "./machine.ts";
import { notPinned, type Pinning } from "./pin.ts";
import type { Fault } from "./program.ts";
import { type ResolvedScenario, resolveScenario } from "./resolve-scenario.ts";
import type { CampaignFailure, CampaignTask } from "./task.ts";

const STRATEGIES = ["random", "pct", "both"] as const;
export type ExploreStrategy = (typeof STRATEGIES)[number];
const MAX_DEPTH = 10;
const DEFAULT_EXECUTIONS = 2000;
const DEFAULT_STEP_LIMIT = 20_000;
const DEFAULT_MEMORY = "1MiB";
/** Every machine boots with this seed: what an execution does depends on its schedule alone. */
const BOOT_SEED = 1;

export interface ExploreOptions {
  /** Default "both": PCT and the random walk in turn. */
  readonly strategy?: ExploreStrategy;
  /** PCT's depth d: up to d-1 changes of priority an execution.  1 to 10, default 3. */
  readonly depth?: number;
  /** Default 2,000. */
  readonly executions?: number;
  /** Default 1. */
  readonly seed?: number;
  /** Defects to switch on: those that the scenario names. */
  readonly mutants?: readonly string[];
  /** Default: what the scenario says. */
  readonly cpus?: number;
  /** Steps after which an execution counts as a livelock. */
  readonly stepLimit?: number;
  /** Run each schedule twice and compare. */
  readonly audit?: boolean;
  /** Hash every execution's end into `hash`; slower. */
  readonly hashes?: boolean;
  /** Pin the CPUs' threads to one host core.  Default true. */
  readonly pin?: boolean;
  /** Look for a schedule with fewer switches that fails in the same way.  Default true. */
  readonly shrink?: boolean;
  /** Trace a failure's last steps for the report.  Default true. */
  readonly report?: boolean;
  /** Ends the campaign after the present execution; what was measured is kept. */
  readonly signal?: AbortSignal;
  /** Called about twice a second. */
  readonly onProgress?: (progress: CampaignProgress) => void;
}

export interface ExploreResult {
  readonly mode: "explore";
  readonly scenario: string;
  readonly summary: string;
  readonly cpus: number;
  readonly mutants: readonly string[];
  readonly strategy: ExploreStrategy;
  readonly depth: number;
  readonly seed: number;
  readonly stepLimit: number;
  readonly audit: boolean;
  readonly hostCores: number;
  readonly pinning: Pinning;
  readonly executions: number;
  readonly executionsWanted: number;
  /** True when the signal ended it early. */
  readonly interrupted: boolean;
  readonly steps: number;
  readonly switches: number;
  readonly elapsedMs: number;
  readonly executionsPerSecond: number;
  readonly stepsPerSecond: number;
  readonly switchesPerExecution: number;
  /** Over all executions; 0 unless `hashes`. */
  readonly hash: number;
  /** Mutants whose places in the code were executed, switched on or not. */
  readonly reached: readonly string[];
  /** What was found; null when every execution went well. */
  readonly failure: FailureReport | null;
  /** A failure of the campaign itself: setup, a lost thread. */
  readonly fault: Fault | null;
}

export interface ReplayOptions {
  /** How often, each time on a fresh machine.  Default 1. */
  readonly times?: number;
  readonly pin?: boolean;
  /** Trace the failure's last steps for the report.  Default true. */
  readonly report?: boolean;
}

export interface ReplayResult {
  readonly mode: "replay";
  readonly schedule: Schedule;
  readonly times: number;
  /** How many of them ended as recorded. */
  readonly reproduced: number;
  /** One line: reproduced, or how the program has changed. */
  readonly verdict: string;
  readonly pinning: Pinning;
  readonly elapsedMs: number;
  /** What the first replay that failed showed; null when none did. */
  readonly failure: FailureReport | null;
  readonly fault: Fault | null;
}

/**
 * Runs `scenario` (a name, or a path to a module) under many schedules, up to the first failure.
 * Throws UsageError for an unknown scenario, strategy, depth or mutant.
 */
export async function explore(scenario: string, options: ExploreOptions = {}): Promise<ExploreResult> {
  const resolved = await resolveScenario(scenario);
  const settings = checkOptions(resolved, options);
  const { strategy, depth, seed, stepLimit, executions, audit, cpus, mutants } = settings;
  const plan: CampaignPlan = { seed, executions, stepLimit, hashes: options.hashes ?? false, audit };
  const task: CampaignTask = { strategy, depth, plan };
  const machine = await bootFor(resolved, { cpus, mutants, trace: false });
  const pinned = options.pin === false ? notPinned("not asked for") : await machine.pin();
  let result: CampaignResult;
  try {
    result = await machine.explore(resolved.moduleUrl, task, { ...options, ...resolved.given });
  } finally {
    await pinned.release();
    await machine.halt();
  }
  const seconds = result.elapsedMs / 1000;
  const found = result.failure;
  return {
    mode: "explore",
    scenario,
    summary: resolved.description.summary,
    ...settings,
    hostCores: availableParallelism(),
    pinning: pinned.state,
    executions: result.executions,
    executionsWanted: executions,
    interrupted: options.signal?.aborted ?? false,
    steps: result.steps,
    switches: result.switches,
    elapsedMs: result.elapsedMs,
    executionsPerSecond: seconds > 0 ? result.executions / seconds : 0,
    stepsPerSecond: seconds > 0 ? result.steps / seconds : 0,
    switchesPerExecution: result.executions > 0 ? result.switches / result.executions : 0,
    hash: result.hash >>> 0,
    reached: result.reached,
    failure: found && (await tellFailure(resolved, settings, result.startHash, found, options)),
    fault: result.fault,
  };
}

/** Runs the one execution that a schedule string records.  Throws UsageError for a string that is none. */
export async function replay(text: string, options: ReplayOptions = {}): Promise<ReplayResult> {
  const schedule = parseSchedule(text);
  const resolved = await resolveScenario(schedule.scenario);
  checkMutants(resolved, schedule.mutants);
  const times = wholeNumber("times", options.times ?? 1, 1, 1_000_000);
  const startedAt = performance.now();
  let pinning: Pinning = notPinned("not asked for").state;
  let reproduced = 0;
  let first: CampaignResult | null = null;
  let other: CampaignResult | null = null;
  for (let i = 0; i < times; i++) {
    const machine = await bootFor(resolved, { ...schedule, trace: false });
    const pinned = options.pin === false || i > 0 ? null : await machine.pin();
    const result = await machine.explore(resolved.moduleUrl, replayTask(schedule), resolved.given);
    await pinned?.release();
    await machine.halt();
    pinning = pinned?.state ?? pinning;
    first ??= result;
    if (isAsRecorded(schedule, result)) reproduced++;
    else other ??= result;
  }
  const { failure, fault } = other ?? (first as CampaignResult);
  return {
    mode: "replay",
    schedule,
    times,
    reproduced,
    verdict: verdictOf(schedule, times, other),
    pinning,
    elapsedMs: performance.now() - startedAt,
    failure: failure && (await describe(resolved, schedule, failure, options.report ?? true)),
    fault,
  };
}

/** Shrinks a campaign's failure and tells what happened. */
async function tellFailure(
  resolved: ResolvedScenario,
  settings: Settings,
  startHash: number,
  found: CampaignFailure,
  options: ExploreOptions,
): Promise<FailureReport> {
  const { shrink = true, report = true } = options;
  if (!shrink || found.fault.kind === "nondeterminism") {
    return describe(resolved, scheduleOf(resolved, settings, startHash, found), found, report);
  }
  const run = async (task: CampaignTask): Promise<CampaignResult> => {
    const machine = await bootFor(resolved, { ...settings, trace: false });
    try {
      return await machine.explore(resolved.moduleUrl, task, resolved.given);
    } finally {
      await machine.halt();
    }
  };
  const { failure, trials } = await shrinkFailure(found, settings, run);
  const schedule = scheduleOf(resolved, settings, startHash, failure);
  const told = await describe(resolved, schedule, failure, report);
  return { ...told, shrunk: { fromSwitches: found.tape.length / 2 - 1, trials } };
}

// ---- replays ----

function replayTask(schedule: Schedule, logFrom?: number): CampaignTask {
  const plan = {
    seed: schedule.seed,
    executions: 1,
    stepLimit: schedule.stepLimit,
    hashes: false,
  };
  return { strategy: "replay", depth: 1, plan, tape: schedule.tape, logFrom };
}

function isAsRecorded(schedule: Schedule, { failure, divergedAt }: CampaignResult): boolean {
  return (
    failure !== null && divergedAt < 0 && failure.step === schedule.steps && endOf(failure) === schedule.end
  );
}

/** What a replay came to, in one line. */
function verdictOf(schedule: Schedule, times: number, other: CampaignResult | null): string {
  if (other === null) return times === 1 ? "reproduced" : `reproduced ${times} times of ${times}`;
  const begun =
    other.startHash === schedule.start ? "" : "RAM differs from the recording before the first step, and ";
  return `the program has changed: ${begun}${endInWords(schedule, other)}`;
}

function endInWords(schedule: Schedule, { divergedAt, failure, fault, steps }: CampaignResult): string {
  if (fault !== null) return `the machine failed: ${fault.message}`;
  if (divergedAt >= 0) {
    return `it diverged at step ${divergedAt}: it cannot make the switch that the schedule has there`;
  }
  if (failure === null)
    return `it ended well after ${steps} steps; recorded was a failure at step ${schedule.steps}`;
  if (failure.step !== schedule.steps) {
    return `it failed at step ${failure.step} (${failure.fault.kind}); recorded was step ${schedule.steps}`;
  }
  return `it failed at step ${failure.step} as recorded, but in another state or way (${failure.fault.kind})`;
}

/** Replays the failure on a machine that traces, and tells what happened. */
async function describe(
  resolved: ResolvedScenario,
  schedule: Schedule,
  failure: CampaignFailure,
  traced: boolean,
): Promise<FailureReport> {
  if (!traced || failure.fault.kind === "nondeterminism") return reportFailure(schedule, failure, null);
  const machine = await bootFor(resolved, { ...schedule, trace: true });
  const task = replayTask(schedule, failure.step - TRACED_STEPS);
  const result = await machine.explore(resolved.moduleUrl, task, resolved.given);
  await machine.halt();
  return reportFailure(schedule, failure, result);
}

/** Steps before the failure that a report looks at. */
const TRACED_STEPS = 2000;

// ---- settings ----

interface Settings {
  readonly strategy: ExploreStrategy;
  readonly depth: number;
  readonly executions: number;
  readonly seed: number;
  readonly mutants: readonly string[];
  readonly cpus: number;
  readonly stepLimit: number;
  readonly audit: boolean;
}

function checkOptions(scenario: ResolvedScenario, options: ExploreOptions): Settings {
  const { description } = scenario;
  const strategy = options.strategy ?? "both";
  if (!STRATEGIES.includes(strategy)) {
    throw new UsageError(`strategy: "${strategy}" is not valid; valid are ${STRATEGIES.join(", ")}`);
  }
  const least = description.minCpus ?? description.cpus;
  return {
    strategy,
    depth: wholeNumber("depth", options.depth ?? 3, 1, MAX_DEPTH),
    executions: wholeNumber("executions", options.executions ?? DEFAULT_EXECUTIONS, 1, 0x7fffffff),
    seed: wholeNumber("seed", options.seed ?? 1, 0, 0xffffffff),
    mutants: checkMutants(scenario, options.mutants ?? []),
    cpus: wholeNumber("cpus", options.cpus ?? description.cpus, least, MAX_EXPLORE_CPUS),
    stepLimit: wholeNumber(
      "stepLimit",
      options.stepLimit ?? description.stepLimit ?? DEFAULT_STEP_LIMIT,
      1,
      0x7fffffff,
    ),
    audit: options.audit ?? false,
  };
}

function checkMutants(
  { name, description }: ResolvedScenario,
  mutants: readonly string[],
): readonly string[] {
  const valid = description.mutants;
  for (const mutant of mutants) {
    if (valid.includes(mutant)) continue;
    const list = valid.length === 0 ? "it has none" : `valid are ${valid.join(", ")}`;
    throw new UsageError(`mutant: "${mutant}" is not one of scenario ${name}; ${list}`);
  }
  return mutants;
}

function wholeNumber(field: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new UsageError(`${field}: ${value} is not valid; valid are whole numbers from ${min} to ${max}`);
}

// ---- machines and fingerprints ----

function bootFor(
  { description }: ResolvedScenario,
  shape: { cpus: number; mutants: readonly string[]; trace: boolean },
): Promise<Machine> {
  return Machine.boot({
    cpus: shape.cpus,
    memory: description.memory ?? DEFAULT_MEMORY,
    mode: "explore",
    seed: BOOT_SEED,
    ...(description.slab === undefined ? {} : { slab: description.slab }),
    ...(description.shootdown === undefined ? {} : { shootdown: description.shootdown }),
    ...(description.vmaLock === undefined ? {} : { vmaLock: description.vmaLock }),
    ...(description.nodes === undefined
      ? {}
      : { nodes: description.nodes, cpuNodes: Array.from({ length: shape.cpus }, () => 0) }),
    mutants: shape.mutants,
    trace: shape.trace,
  });
}

function scheduleOf(
  { name }: ResolvedScenario,
  settings: Settings,
  startHash: number,
  failure: CampaignFailure,
): Schedule {
  const { execution } = failure;
  return {
    scenario: name,
    cpus: settings.cpus,
    mutants: settings.mutants,
    seed: settings.seed,
    strategy: settings.strategy === "random" ? "random" : `${settings.strategy}${settings.depth}`,
    execution,
    stepLimit: settings.stepLimit,
    start: startHash,
    steps: failure.step,
    end: endOf(failure),
    tape: failure.tape,
  };
}

/** Hash of how an execution failed: the kind, and the state of RAM and CPUs. */
function endOf({ fault, hash }: CampaignFailure): number {
  let end = hash | 0;
  for (let i = 0; i < fault.kind.length; i++) end = Math.imul(end ^ fault.kind.charCodeAt(i), 0x01000193);
  return end >>> 0;
}
