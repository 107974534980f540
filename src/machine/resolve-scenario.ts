/**
 * From what the user names to a scenario: one that smpsim ships, or a path to a file of one's own.
 */

import { existsSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "../memory/bug.ts";
import type { ScenarioDescription } from "../scenarios/description.ts";
import { resolveOptions } from "../workloads/description.ts";
import type { ProgramOptions } from "./program.ts";
import { describeProgram, resolveProgram, workloadNames } from "./resolve-program.ts";
import { USER_PROGRAM } from "./user-program-options.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const SCENARIOS = new URL("../scenarios/", import.meta.url);
/** The one module of that folder that is no scenario. */
const DESCRIPTION = "description";
/** Steps after which an execution of a workload counts as a livelock: it does more than a scenario. */
const WORKLOAD_STEPS = 500_000;

export interface ResolvedScenario {
  /** As the user named it. */
  readonly name: string;
  readonly moduleUrl: string;
  readonly description: ScenarioDescription;
  /** What a workload is given; nothing for a scenario. */
  readonly given: { readonly options?: ProgramOptions; readonly operations?: number };
}

/** Names of the scenarios that smpsim ships. */
export function scenarioNames(): string[] {
  const folder = fileURLToPath(SCENARIOS);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(`.${extension}`) && !file.endsWith(".d.ts"))
    .map((file) => file.slice(0, -extension.length - 1))
    .filter((name) => name !== DESCRIPTION)
    .sort();
}

/** What every shipped scenario says about itself, by name. */
export async function describeScenarios(): Promise<ScenarioDescription[]> {
  return Promise.all(scenarioNames().map(async (name) => (await resolveScenario(name)).description));
}

/** Names of the workloads that may be explored, too. */
export async function exploredWorkloads(): Promise<string[]> {
  const names = workloadNames();
  const all = await Promise.all(names.map((name) => describeProgram(resolveProgram(name))));
  return names.filter((_, i) => all[i]?.explore !== undefined);
}

/** The scenario or workload `name`, or the one in the file at that path.  Throws UsageError if there is none. */
export async function resolveScenario(name: string): Promise<ResolvedScenario> {
  const workload = workloadNames().includes(name) ? await resolveWorkload(name) : null;
  if (workload !== null) return workload;
  const moduleUrl = urlOf(name);
  if ((await describeProgram(moduleUrl)) === USER_PROGRAM) return userProgram(name, moduleUrl);
  const module = (await import(moduleUrl)) as { describe?: ScenarioDescription; run?: unknown };
  const { describe: description } = module;
  if (typeof module.run !== "function" || !isDescription(description)) {
    throw new UsageError(
      `scenario: ${name} must export a function "run(kernel, options, shared)" and ` +
        '"describe" with name, summary, cpus and mutants',
    );
  }
  return { name, moduleUrl, description, given: {} };
}

/** A file of programs: what one of them throws is a failure, and so is a deadlock. */
function userProgram(name: string, moduleUrl: string): ResolvedScenario {
  const { summary } = USER_PROGRAM;
  return {
    name,
    moduleUrl,
    description: {
      name,
      summary,
      cpus: 2,
      minCpus: 1,
      mutants: [],
      memory: "2MiB",
      stepLimit: WORKLOAD_STEPS,
    },
    given: { options: resolveOptions(USER_PROGRAM, {}) },
  };
}

/** A workload as a scenario; null when it says nothing of that. */
async function resolveWorkload(name: string): Promise<ResolvedScenario | null> {
  const moduleUrl = resolveProgram(name);
  const description = await describeProgram(moduleUrl);
  if (description?.explore === undefined) return null;
  const { explore, summary, stressDefaults, minCpus = 1 } = description;
  const { operations, options, cpus = 2, mutants = [] } = explore;
  return {
    name,
    moduleUrl,
    description: { name, summary, cpus, minCpus, mutants, memory: "2MiB", stepLimit: WORKLOAD_STEPS },
    given: { operations, options: resolveOptions(description, { ...stressDefaults, ...options }) },
  };
}

function urlOf(name: string): string {
  if (name.startsWith("file:")) return name;
  if (/[/\\]|\.(ts|js|mjs)$/.test(name)) {
    const path = resolve(name);
    if (!existsSync(path)) throw new UsageError(`scenario: there is no file ${path}`);
    return pathToFileURL(path).href;
  }
  const names = scenarioNames();
  if (names.includes(name)) return new URL(`${name}.${extension}`, SCENARIOS).href;
  throw new UsageError(
    `scenario: "${name}" is none; valid are ${names.join(", ")}, or a path to a .ts or .js file`,
  );
}

function isDescription(value: ScenarioDescription | undefined): value is ScenarioDescription {
  return (
    value !== undefined &&
    typeof value.name === "string" &&
    Number.isInteger(value.cpus) &&
    Array.isArray(value.mutants)
  );
}
