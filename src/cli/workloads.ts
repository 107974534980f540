/** `smpsim workloads`: what can be run, and each one's options. */

import type { Command } from "commander";
import { descriptionOf, MACHINE_SETTINGS } from "../experiment/settings.ts";
import { workloadNames } from "../machine/resolve-program.ts";
import { UsageError } from "../memory/bug.ts";
import { validRange, type WorkloadDescription } from "../workloads/description.ts";
import { checkWorkload } from "./machine-flags.ts";
import { print, printJson } from "./output.ts";
import { bold, dim, grid } from "./tables.ts";

const EXAMPLES = `
Examples:
  smpsim workloads               all of them, a line each
  smpsim workloads page-bulk     its phases and options with their ranges
  smpsim workloads ./mine.ts     what a kernel module of your own says about itself`;

export function addWorkloads(program: Command): void {
  program
    .command("workloads [name]")
    .description("list the workloads, or one's options")
    .option("--json", "print one JSON document")
    .addHelpText("after", EXAMPLES)
    .action(workloads);
}

async function workloads(name: string | undefined, flags: { readonly json?: boolean }): Promise<void> {
  if (name === undefined) return listAll(flags.json ?? false);
  checkWorkload(name);
  const description = await descriptionOf(name);
  if (description === null) throw new UsageError(`${name} exports no "describe": its options are not known`);
  if (flags.json) return printJson(description);
  print(detail(description));
}

async function listAll(json: boolean): Promise<void> {
  const names = workloadNames();
  const described = await Promise.all(names.map(descriptionOf));
  const all = described.filter((d) => d !== null);
  if (json) return printJson(all);
  const rows = all.map(({ name, summary, minCpus = 1, stress }) => [
    bold(name),
    summary,
    dim(
      [minCpus > 1 ? `from ${minCpus} CPUs` : "", stress ? "stress" : ""].filter((s) => s !== "").join(", "),
    ),
  ]);
  print(grid(["workload", "what it does", ""], rows, 3));
  print(
    dim("\nsmpsim workloads NAME shows its options; smpsim bench NAME measures it; stress NAME checks it"),
  );
}

function detail({ name, summary, phases, operation, options, minCpus = 1 }: WorkloadDescription): string {
  const rows = Object.entries(options).map(([key, option]) => [
    bold(key),
    option.help,
    validRange(option),
    String(option.default),
  ]);
  const machine = Object.entries(MACHINE_SETTINGS)
    .filter(([key]) => !Object.hasOwn(options, key))
    .map(([key, { help, valid }]) => [key, help, valid, ""]);
  return [
    `${bold(name)}: ${summary}`,
    `  one operation: ${operation}`,
    `  phases: ${phases.join(", ")}${minCpus > 1 ? `; needs at least ${minCpus} CPUs` : ""}`,
    "",
    grid(["--set key=value", "meaning", "valid", "default"], [...rows, ...machine], 4),
    "",
  ].join("\n");
}
