/**
 * `key=value` settings: some belong to the machine (which lock, which page lists), some to the workload (order, rounds).
 *
 * A user need not know which; when both have a key, the workload's wins, because it is the more special one.
 */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { MAX_NODES } from "../hardware/topology.ts";
import { type MachineConfig, resolveConfig, SIMULATED_TIME_KEYS, SLABS } from "../machine/config.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { describeProgram, resolveProgram } from "../machine/resolve-program.ts";
import { UsageError } from "../memory/bug.ts";
import { didYouMean } from "../memory/nearest.ts";
import { profileNames } from "../schedule/virtual/profiles.ts";
import { resolveOptions, validRange, type WorkloadDescription } from "../workloads/description.ts";

export interface Setting {
  readonly key: string;
  readonly value: string;
}

export interface SplitSettings {
  readonly machine: MachineConfig;
  readonly options: ProgramOptions;
}

interface MachineSetting {
  readonly type: "text" | "number" | "boolean" | "list";
  readonly valid: string;
  readonly help: string;
}

/** Keys of MachineConfig that `--set` and `--compare` take; CPUs and the seed have flags of their own. */
export const MACHINE_SETTINGS: Readonly<Record<string, MachineSetting>> = {
  mode: {
    type: "text",
    valid: "parallel, virtual",
    help: "time by the host's clock, or simulated on the machine of a profile",
  },
  profile: {
    type: "text",
    valid: `${profileNames().join(", ")}, or a path to a .json file`,
    help: "simulated time: the machine whose costs are charged",
  },
  switch: {
    type: "text",
    valid: "marked, all",
    help: "simulated time: accesses at which another CPU may go first; all is a slow cross-check",
  },
  slack: {
    type: "number",
    valid: "0 to 1000000",
    help: "simulated time: cycles that plain accesses may run ahead of other CPUs",
  },
  memory: { type: "text", valid: "512KiB to 8GiB", help: "size of RAM" },
  nodes: { type: "number", valid: `1 to ${MAX_NODES}`, help: "NUMA nodes" },
  sockets: { type: "number", valid: `1 to ${MAX_NODES}`, help: "sockets, over which nodes are split" },
  minFreeKbytes: { type: "number", valid: "0 to 8388608; 0: by the formula", help: "vm.min_free_kbytes" },
  pcpBatch: {
    type: "number",
    valid: "1 to 1024; 0: by the formula",
    help: "pages that a page list moves at a time",
  },
  pcpHigh: {
    type: "number",
    valid: "1 to 65536; 0: by the formulas",
    help: "pages at which a page list gives some back",
  },
  hugePages: { type: "boolean", valid: "true, false", help: "transparent huge pages raise min_free_kbytes" },
  tokens: { type: "text", valid: "1 to the number of CPUs, cores, free", help: "CPUs that may run at once" },
  lock: {
    type: "text",
    valid: "tas, ticket, queued, pv, or a path such as ./my-lock.ts",
    help: "kind of spinlock",
  },
  pageLists: { type: "text", valid: "6.12, 6.0, off", help: "rules of the per-CPU page lists" },
  slab: { type: "text", valid: SLABS.join(", "), help: "allocator of objects" },
  failslab: {
    type: "text",
    valid: "interval,probability,space,times[,all]",
    help: "object allocations that fail",
  },
  slabDebug: {
    type: "text",
    valid: "F, Z, P, U, O and caches' names, as Linux's slab_debug=",
    help: "debugging of object caches",
  },
  slabPanic: {
    type: "boolean",
    valid: "true, false",
    help: "the first report of a damaged object stops the machine",
  },
  slabMerge: { type: "boolean", valid: "true, false", help: "object caches of a kind share their slabs" },
  slabRandom: {
    type: "boolean",
    valid: "true, false",
    help: "objects of a new slab are handed out in a random order",
  },
  threadSize: { type: "text", valid: "8KiB, 16KiB", help: "size of a kernel stack" },
  padding: {
    type: "boolean",
    valid: "true, false",
    help: "cache-line padding between parts of kernel structures that different CPUs use at once",
  },
  pageLevels: { type: "number", valid: "4, 5", help: "levels of page tables" },
  pcid: {
    type: "boolean",
    valid: "true, false",
    help: "TLB entries of several address spaces live side by side",
  },
  lazyTlb: {
    type: "boolean",
    valid: "true, false",
    help: "a CPU without a program keeps the last address space loaded",
  },
  vmaLock: {
    type: "text",
    valid: "6.12, 6.18, off",
    help: "what page faults hold: a lock of the VMA in the form of that version of Linux, or mmap_lock alone",
  },
  shootdown: {
    type: "text",
    valid: "ipi, broadcast",
    help: "how CPUs are told to forget translations: by interrupts, or by a message of the hardware (Linux 6.15)",
  },
  tlbBatching: {
    type: "boolean",
    valid: "true, false",
    help: "one TLB flush ends a whole unmapping, not every page of it one",
  },
  lazyCpumask: {
    type: "boolean",
    valid: "true, false",
    help: "a CPU leaves an address space's mask only when a flush finds it there",
  },
  overcommitMemory: { type: "number", valid: "0, 1, 2", help: "vm.overcommit_memory: guess, always, never" },
  overcommitRatio: { type: "number", valid: "0 to 2147483647", help: "vm.overcommit_ratio, percent" },
  overcommitKbytes: { type: "number", valid: "0 and above; 0: the ratio", help: "vm.overcommit_kbytes" },
  adminReserveKbytes: { type: "number", valid: "0 and above", help: "vm.admin_reserve_kbytes" },
  userReserveKbytes: { type: "number", valid: "0 and above", help: "vm.user_reserve_kbytes" },
  maxMapCount: { type: "number", valid: "0 to 2147483647", help: "vm.max_map_count" },
  mmapMinAddr: { type: "number", valid: "0 to 2^47 - 4096", help: "vm.mmap_min_addr, bytes" },
  rlimitAs: { type: "text", valid: "bytes, 1GiB, unlimited", help: "limit of address space" },
  rlimitData: { type: "text", valid: "bytes, 1GiB, unlimited", help: "limit of data" },
  rlimitStack: { type: "text", valid: "bytes, 8MiB, unlimited", help: "limit of a stack" },
  rlimitMemlock: { type: "text", valid: "bytes, 8MiB, unlimited", help: "limit of locked memory" },
  privileged: {
    type: "boolean",
    valid: "true, false",
    help: "programs may lock more memory than the limit, and use what is kept for administrators",
  },
  checks: { type: "boolean", valid: "true, false", help: "costly assertions" },
  lockstat: { type: "boolean", valid: "true, false", help: "hold times of locks" },
  trace: { type: "boolean", valid: "true, false", help: "record every operation" },
  mutants: { type: "list", valid: "names joined by +", help: "defects to switch on" },
  heapMiB: { type: "number", valid: "16 to 65536", help: "heap limit of a CPU's thread" },
  hangSeconds: { type: "number", valid: "1 to 86400", help: "seconds without progress that count as a hang" },
};

/** The pair in "key=value"; `flag` names the option it came from. */
export function parseSetting(text: string, flag: string): Setting {
  const at = text.indexOf("=");
  if (at <= 0) throw new UsageError(`${flag}: "${text}" is not valid; write key=value, for example order=3`);
  return { key: text.slice(0, at).trim(), value: text.slice(at + 1).trim() };
}

/** What a workload, by name or path, says about itself; null for a module that says nothing. */
export const descriptionOf = (workload: string): Promise<WorkloadDescription | null> =>
  describeProgram(resolveProgram(workload));

/** Sorts settings by whom they belong to, and checks keys and values.  Throws UsageError. */
export function splitSettings(
  settings: readonly Setting[],
  description: WorkloadDescription | null,
  flag = "--set",
): SplitSettings {
  const machine: Record<string, unknown> = {};
  const options: Record<string, string> = {};
  for (const { key, value } of settings) {
    const isOption = description === null || Object.hasOwn(description.options, key);
    const known = Object.hasOwn(MACHINE_SETTINGS, key);
    if (known && !(isOption && description !== null)) machine[key] = machineValue(key, value);
    else if (isOption) options[key] = value;
    else throw new UsageError(unknownKey(flag, key, description));
  }
  if (description !== null) resolveOptions(description, options);
  // Alone these settings need not make a machine: the mode may come from elsewhere.  Who has them all checks again.
  const isSimulated = SIMULATED_TIME_KEYS.some((key) => machine[key] !== undefined);
  resolveConfig({ cpus: 256, ...(isSimulated ? { mode: "virtual" } : {}), ...machine });
  return { machine: machine as MachineConfig, options };
}

/** All keys with their ranges, one a line, for messages and help. */
export function settingLines(description: WorkloadDescription | null): string[] {
  const own = Object.entries(description?.options ?? {}).map(
    ([key, option]) => `${key}: ${option.help} (${validRange(option)}; default ${option.default})`,
  );
  const machine = Object.entries(MACHINE_SETTINGS)
    .filter(([key]) => !Object.hasOwn(description?.options ?? {}, key))
    .map(([key, setting]) => `${key}: ${setting.help} (${setting.valid})`);
  return [...own, ...machine];
}

function unknownKey(flag: string, key: string, description: WorkloadDescription | null): string {
  const keys = [...Object.keys(description?.options ?? {}), ...Object.keys(MACHINE_SETTINGS)];
  const lines = settingLines(description).map((line) => `\n  ${line}`);
  return `${flag}: there is no key "${key}"${didYouMean(key, keys)}; valid are${lines.join("")}`;
}

function machineValue(key: string, value: string): unknown {
  const { type, valid } = MACHINE_SETTINGS[key];
  const wrong = (): never => {
    throw new UsageError(`${key}: "${value}" is not valid; valid are ${valid}`);
  };
  if (key === "lock" && /\.(ts|js|mjs)$/.test(value) && !existsSync(value)) {
    throw new UsageError(`lock: there is no file ${resolve(value)}`);
  }
  if (key === "tokens") return /^\d+$/.test(value) ? Number(value) : value;
  switch (type) {
    case "number":
      return /^\d+$/.test(value) ? Number(value) : wrong();
    case "boolean":
      return value === "true" || value === "false" ? value === "true" : wrong();
    case "list":
      return value.split("+").filter((name) => name !== "");
    case "text":
      return value;
  }
}
