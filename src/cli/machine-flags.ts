/**
 * Flags that choose the machine, the same for every command.
 *
 * Later ones win: preset, configuration file, flags, `--set`.
 */

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { descriptionOf, parseSetting, splitSettings } from "../experiment/settings.ts";
import { MAX_NODES } from "../hardware/topology.ts";
import { CONFIG_KEYS, type MachineConfig, resolveConfig, SLABS } from "../machine/config.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { workloadNames } from "../machine/resolve-program.ts";
import { UsageError } from "../memory/bug.ts";
import { didYouMean } from "../memory/nearest.ts";
import { DEFAULT_SHAPE, type SlabKind } from "../memory/shape.ts";
import { DEFAULT_PROFILE, profileNames } from "../schedule/virtual/profiles.ts";
import type { WorkloadDescription } from "../workloads/description.ts";
import { presetNamed } from "./presets.ts";
import { integer, parseSeed, parseTokens, repeated } from "./values.ts";

export interface MachineFlags {
  readonly mode?: "parallel" | "virtual";
  readonly profile?: string;
  readonly memory?: string;
  readonly nodes?: number;
  readonly tokens?: number | "cores" | "free";
  readonly seed?: number;
  readonly lockstat?: boolean;
  readonly slabDebug?: string;
  readonly slab?: string;
  readonly pageLevels?: 4 | 5;
  readonly preset?: string;
  readonly config?: string;
  readonly set?: readonly string[];
  readonly printConfig?: boolean;
}

/** A machine and the options of the program on it, checked. */
export interface Choice {
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
  readonly description: WorkloadDescription | null;
}

export function addMachineFlags(command: Command): Command {
  return command
    .option(
      "--mode <name>",
      "parallel: time by this computer's clock (default); virtual: simulated time, on the machine of a profile",
      parseMode,
    )
    .option("--profile <name>", `machine of simulated time: ${profileNames().join(", ")}, or a .json file`)
    .option("--memory <size>", "RAM, 512KiB to 8GiB, for example 256MiB (default 256MiB)")
    .option("--nodes <n>", "NUMA nodes (default 1)", (text) => integer("--nodes", text, 1, MAX_NODES))
    .option("--tokens <n>", "CPUs that may run at once: a number, cores (the default) or free", parseTokens)
    .option("--seed <n>", "seed of every random choice, 0 to 4294967295 (default 1)", parseSeed)
    .option("--slab <name>", `allocator of objects: ${SLABS.join(", ")} (default ${DEFAULT_SHAPE.slab})`)
    .option(
      "--slab-debug <options>",
      "debugging of object caches, as Linux's slab_debug=: FZPU, or P,kmalloc-*;FZ,other",
    )
    .option("--page-levels <n>", "levels of page tables, 4 or 5 (default 4)", (text) =>
      integer("--page-levels", text, 4, 5),
    )
    .option("--lockstat", "measure how long locks are held, too")
    .option("--set <key=value>", "setting of the machine or the workload; repeatable", repeated)
    .option("--preset <name>", "a machine with a name: tiny, laptop, server, la57, numa4")
    .option("--config <file>", "machine from a JSON file, as --print-config writes it")
    .option("--print-config", "print the machine as JSON and do nothing else");
}

/** The machine and options that the flags choose, for `workload` (null: none). */
export async function chooseMachine(flags: MachineFlags, workload: string | null): Promise<Choice> {
  if (workload !== null) checkWorkload(workload);
  const description = workload === null ? null : await descriptionOf(workload);
  const settings = (flags.set ?? []).map((text) => parseSetting(text, "--set"));
  // Without a workload there is nobody to take an unknown key.
  const split = splitSettings(settings, workload === null ? NO_OPTIONS : description);
  const machine: MachineConfig = {
    ...(flags.preset === undefined ? {} : presetNamed(flags.preset)),
    ...(flags.config === undefined ? {} : configFile(flags.config)),
    ...(flags.mode === undefined ? {} : { mode: flags.mode }),
    ...(flags.profile === undefined ? {} : { profile: flags.profile }),
    ...(flags.memory === undefined ? {} : { memory: flags.memory }),
    ...(flags.nodes === undefined ? {} : { nodes: flags.nodes }),
    ...(flags.tokens === undefined ? {} : { tokens: flags.tokens }),
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
    ...(flags.slabDebug === undefined ? {} : { slabDebug: flags.slabDebug }),
    ...(flags.slab === undefined ? {} : { slab: flags.slab as SlabKind }),
    ...(flags.pageLevels === undefined ? {} : { pageLevels: flags.pageLevels }),
    ...(flags.lockstat === undefined ? {} : { lockstat: flags.lockstat }),
    ...split.machine,
  };
  return { machine, options: split.options, description };
}

/** What `--print-config` prints: a file for `--config`, with the defaults of the commonest fields filled in. */
export function completeConfig(machine: MachineConfig): MachineConfig {
  const { cpus, seed, heapMiB, hangSeconds, shape, switchAtEvery, slackCycles } = resolveConfig(machine);
  const memory = machine.memoryMap === undefined ? { memory: "256MiB" } : {};
  const { lock, pageLists, slab, checks, lockstat, trace, mode } = shape;
  // In simulated time nodes are the profile's, and one CPU runs at a time.
  const ofMode =
    mode === "virtual"
      ? {
          profile: DEFAULT_PROFILE,
          switch: switchAtEvery ? ("all" as const) : ("marked" as const),
          slack: slackCycles,
        }
      : { nodes: 1, tokens: "cores" as const };
  const filled = { mode, ...ofMode, lock, pageLists, slab, checks, lockstat, trace };
  const common = { cpus, ...memory, seed, heapMiB, hangSeconds, ...filled };
  return { ...common, ...machine };
}

const NO_OPTIONS: WorkloadDescription = {
  name: "machine",
  summary: "",
  phases: [],
  operation: "",
  options: {},
};

/** A name that no workload has is refused with those that are there. */
export function checkWorkload(workload: string): void {
  const names = workloadNames();
  if (names.includes(workload) || /[/\\]|\.(ts|js|mjs)$/.test(workload)) return;
  throw new UsageError(
    `there is no workload "${workload}"${didYouMean(workload, names)}; valid are ${names.join(", ")}, ` +
      "or a path to a .ts or .js file",
  );
}

/** How time passes in a run; explore mode has commands of its own. */
function parseMode(text: string): "parallel" | "virtual" {
  if (text === "parallel" || text === "virtual") return text;
  throw new UsageError(`--mode: "${text}" is not valid; valid are parallel and virtual`);
}

function configFile(path: string): MachineConfig {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`--config: ${path} cannot be read as JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`--config: ${path} must hold an object with the keys ${CONFIG_KEYS.join(", ")}`);
  }
  for (const key of Object.keys(value)) {
    if (CONFIG_KEYS.includes(key)) continue;
    throw new UsageError(
      `--config: ${path} has an unknown key "${key}"${didYouMean(key, CONFIG_KEYS)}; ` +
        `valid are ${CONFIG_KEYS.join(", ")}`,
    );
  }
  return value as MachineConfig;
}
