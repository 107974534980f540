/**
 * From what the user names to a module's URL: a workload that smpsim ships, or a path to a file of one's own.
 */

import { existsSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "../memory/bug.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const WORKLOADS = new URL("../workloads/", import.meta.url);

/** Names of the workloads that smpsim ships. */
export function workloadNames(): string[] {
  const folder = fileURLToPath(WORKLOADS);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(`.${extension}`) && !file.endsWith(".d.ts"))
    .map((file) => file.slice(0, -extension.length - 1))
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
