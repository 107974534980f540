/**
 * From what the user names to a module's URL: a workload that smpsim ships, or a path to a file of one's own.
 */

import { existsSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "../memory/bug.ts";
import { resolveOptions, type WorkloadDescription } from "../workloads/description.ts";
import type { KernelModule, ProgramOptions } from "./program.ts";
import { argumentsOf, USER_PROGRAM } from "./user-program-options.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const WORKLOADS = new URL("../workloads/", import.meta.url);
/** The one module of that folder that is no workload. */
const DESCRIPTION = "description";

/** Names of the workloads that smpsim ships. */
export function workloadNames(): string[] {
  const folder = fileURLToPath(WORKLOADS);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(`.${extension}`) && !file.endsWith(".d.ts"))
    .map((file) => file.slice(0, -extension.length - 1))
    .filter((name) => name !== DESCRIPTION)
    .sort();
}

/** The URL of a workload by name, or of a module by path.  Throws UsageError if there is none. */
export function resolveProgram(program: string): string {
  if (program.startsWith("file:")) return program;
  if (/[/\\]|\.(ts|js|mjs)$/.test(program)) {
    const path = resolve(program);
    if (!existsSync(path)) throw new UsageError(`program: there is no file ${path}`);
    return pathToFileURL(path).href;
  }
  if (!workloadNames().includes(program)) {
    throw new UsageError(
      `program: "${program}" is no workload; valid are ${workloadNames().join(", ")}, or a path to a .ts file`,
    );
  }
  return new URL(`${program}.${extension}`, WORKLOADS).href;
}

/** What the module at `moduleUrl` says about itself; null when it says nothing, or when only a CPU can load it. */
export async function describeProgram(moduleUrl: string): Promise<WorkloadDescription | null> {
  try {
    const module = (await import(moduleUrl)) as Partial<KernelModule> & { readonly main?: unknown };
    const { describe } = module;
    if (module.run === undefined && module.main !== undefined) return USER_PROGRAM;
    return describe !== undefined && "options" in describe ? describe : null;
  } catch {
    // The CPUs load it too, and theirs is the error with a place in the run's report.
    return null;
  }
}

/** `given` checked and completed by what the program says about itself.  Throws UsageError. */
export async function programOptions(
  moduleUrl: string,
  given: ProgramOptions,
  cpus: number,
): Promise<ProgramOptions> {
  const description = await describeProgram(moduleUrl);
  if (description === null) return given;
  const { name, minCpus = 1 } = description;
  if (cpus < minCpus)
    throw new UsageError(`${name}: it needs at least ${minCpus} CPUs; the machine has ${cpus}`);
  const options = resolveOptions(description, given);
  if (description === USER_PROGRAM) argumentsOf(options);
  return options;
}
