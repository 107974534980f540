/**
 * A machine's configuration: what a user writes, checked and completed.
 */

import { availableParallelism } from "node:os";
import { pathToFileURL } from "node:url";
import { type Topology, type TopologyConfig, topologyOf } from "../hardware/topology.ts";
import { UsageError } from "../memory/bug.ts";
import {
  DEFAULT_SHAPE,
  type LockKind,
  type Mode,
  type PageLists,
  type Shape,
  type ShootdownKind,
  type SlabKind,
  type VmaLockKind,
} from "../memory/shape.ts";
import { MAX_RAM_BYTES, PAGE_BYTES } from "../memory/units.ts";
import type { BootOptions } from "../mm/boot/boot-memory.ts";
import type { FaultSettings } from "../mm/slab/failslab.ts";
import type { SlabSettings } from "../mm/slab/slab-settings.ts";
import { THREAD_SIZES } from "../mm/stacks/kernel-stacks.ts";
import type { VmSettings } from "../process/vm-settings.ts";
import type { Profile } from "../schedule/virtual/profile.ts";
import { topologyDefaults } from "../schedule/virtual/profile-topology.ts";
import { DEFAULT_PROFILE, loadProfile } from "../schedule/virtual/profiles.ts";
import { parseFailslab } from "./fault-settings.ts";
import { SLAB_CHOICE_KEYS, type SlabChoice, slabSettingsOf } from "./slab-choice.ts";
import { VM_CHOICE_KEYS, type VmChoice, vmSettingsOf } from "./vm-choice.ts";

export const MAX_CPUS = 256;
const MIN_MEMORY_BYTES = 512 * 1024;
const LOCKS: readonly string[] = ["tas", "ticket", "queued", "pv"];
const MODES: readonly string[] = ["parallel", "virtual", "explore"];
const SHOOTDOWNS: readonly string[] = ["ipi", "broadcast"];
const PAGE_LISTS: readonly string[] = ["6.12", "6.0", "off"];
/** Allocators of objects. */
const VMA_LOCKS: readonly VmaLockKind[] = ["6.12", "6.18", "off"];
export const SLABS: readonly SlabKind[] = ["slub", "slab", "slob", "sheaves"];
const TOPOLOGY_KEYS = [
  "sockets",
  "nodes",
  "clusterCpus",
  "cacheBytes",
  "cpuNodes",
  "memoryMap",
  "firmware",
  "distances",
  "zones",
  "kernelcoreBytes",
  "movablecoreBytes",
] as const;

/** What the machine is made of, beside CPUs and RAM: see hardware/topology. */
export type TopologyChoice = Pick<TopologyConfig, (typeof TOPOLOGY_KEYS)[number]>;

/** Everything a user may choose; all fields have defaults. */
export interface MachineConfig extends TopologyChoice, SlabChoice, VmChoice {
  /** Simulated CPUs, 1 to 256.  Default: the host's cores. */
  readonly cpus?: number;
  /** RAM, in bytes or as "256MiB", "2GiB"; 512 KiB to 8 GiB.  Default 256MiB. */
  readonly memory?: number | string;
  /** Seed of every random choice.  Default 1. */
  readonly seed?: number;
  readonly mode?: Mode;
  /** Virtual time: a shipped profile's name, or a path to a JSON file.  Default xeon-gold-5320. */
  readonly profile?: string;
  /** Virtual time: let another CPU go first at "marked" accesses (default) or at "all", the cross-check. */
  readonly switch?: "marked" | "all";
  /** Virtual time: how far plain accesses may run ahead of other CPUs, cycles.  Default 200; with switch `all` 0. */
  readonly slack?: number;
  /** Virtual time: count the transfers of each cache line. */
  readonly cacheLines?: boolean;
  /** CPUs that may run at once: a number, "cores" (the default) or "free" (all; the host preempts anywhere). */
  readonly tokens?: number | "cores" | "free";
  /** tas, ticket, queued, pv, or a path to a module with a lock of your own. */
  readonly lock?: string;
  readonly pageLists?: PageLists;
  /** The allocator of objects: SLUB, the default, SLAB or SLOB. */
  readonly slab?: SlabKind;
  /** Makes object allocations fail: see fault-settings.ts.  Default: none does. */
  readonly failslab?: string;
  /** vm.min_free_kbytes; 0, the default: by the kernel's formula. */
  readonly minFreeKbytes?: number;
  /** Pages that a per-CPU list moves at a time, 1 to 1024; 0, the default: by the kernel's formula. */
  readonly pcpBatch?: number;
  /** Pages at which a per-CPU list gives some back, 1 to 65536; 0, the default: by the kernel's formulas, which tune it. */
  readonly pcpHigh?: number;
  /** Transparent huge pages raise min_free_kbytes.  Default false. */
  readonly hugePages?: boolean;
  /** Bytes of a kernel stack, "8KiB" (the default) or "16KiB".  Linux: THREAD_SIZE. */
  readonly threadSize?: number | string;
  /** Cache-line padding between parts of kernel structures.  Default true. */
  readonly padding?: boolean;
  /** Levels of page tables, 4 or 5.  Default 4. */
  readonly pageLevels?: 4 | 5;
  /** TLB entries of several address spaces live side by side.  Default true. */
  readonly pcid?: boolean;
  /** A CPU without a program keeps the last address space loaded.  Default true. */
  readonly lazyTlb?: boolean;
  /** A CPU leaves an address space's mask only when a flush finds it there, as Linux 6.14 does.  Default false. */
  readonly lazyCpumask?: boolean;
  /** How CPUs are told to forget translations: by interrupts ("ipi", the default) or by a message of the hardware ("broadcast"). */
  readonly shootdown?: ShootdownKind;
  /** One flush for a whole unmapping or change of rights; false: one for every page.  Default true. */
  readonly tlbBatching?: boolean;
  /** What page faults hold: a lock of the VMA, the default, or mmap_lock alone. */
  readonly vmaLock?: VmaLockKind;
  /** Costly assertions. */
  readonly checks?: boolean;
  /** Hold times of locks. */
  readonly lockstat?: boolean;
  /** Record every operation in the trace rings. */
  readonly trace?: boolean;
  readonly mutants?: readonly string[];
  /** Heap limit of one CPU's thread, MiB.  Default 512. */
  readonly heapMiB?: number;
  /** Seconds without any progress after which a run counts as hung.  Default 10. */
  readonly hangSeconds?: number;
}

/** A checked configuration with every value filled in. */
export interface ResolvedConfig {
  readonly cpus: number;
  /** RAM that the topology's ranges add up to. */
  readonly memoryBytes: number;
  readonly topology: Topology;
  readonly boot: Omit<BootOptions, "banner">;
  /** Of a kernel stack. */
  readonly threadBytes: number;
  readonly pageLevels: 4 | 5;
  /** Which object allocations fail; null: the shape has no fault injection. */
  readonly failslab: FaultSettings | null;
  readonly slabSettings: SlabSettings;
  readonly vmSettings: VmSettings;
  readonly seed: number;
  /** The simulated machine; null outside virtual time. */
  readonly profile: Profile | null;
  readonly switchAtEvery: boolean;
  readonly slackCycles: number;
  readonly countLines: boolean;
  readonly tokens: number;
  readonly heapMiB: number;
  readonly hangSeconds: number;
  readonly shape: Shape;
}

/** Names of all configuration fields. */
export const CONFIG_KEYS: readonly string[] = [
  "cpus",
  "memory",
  "seed",
  "mode",
  "profile",
  "switch",
  "slack",
  "cacheLines",
  "tokens",
  "lock",
  "pageLists",
  "slab",
  "failslab",
  ...SLAB_CHOICE_KEYS,
  ...VM_CHOICE_KEYS,
  "minFreeKbytes",
  "pcpBatch",
  "pcpHigh",
  "hugePages",
  "threadSize",
  "padding",
  "pageLevels",
  "pcid",
  "lazyTlb",
  "lazyCpumask",
  "shootdown",
  "tlbBatching",
  "vmaLock",
  "checks",
  "lockstat",
  "trace",
  "mutants",
  "heapMiB",
  "hangSeconds",
  ...TOPOLOGY_KEYS,
];

/** Cycles by which plain accesses to lines that others want run ahead: a hand-over costs the host much. */
const DEFAULT_SLACK = 200;

/** Fields that mean nothing outside `mode: "virtual"`. */
export const SIMULATED_TIME_KEYS = ["profile", "switch", "slack", "cacheLines"] as const;

/** Checks `config`; a UsageError names the field, the value and the valid range. */
export function resolveConfig(config: MachineConfig): ResolvedConfig {
  for (const key of Object.keys(config)) {
    if (!CONFIG_KEYS.includes(key))
      throw new UsageError(`${key}: there is no such setting; valid are ${CONFIG_KEYS.join(", ")}`);
  }
  const cpus = integer("cpus", config.cpus ?? availableParallelism(), 1, MAX_CPUS);
  const mode = oneOf("mode", config.mode ?? "parallel", MODES) as Mode;
  if (mode !== "virtual") refuseSimulatedTime(config, mode);
  const slab = oneOf("slab", config.slab ?? DEFAULT_SHAPE.slab, SLABS) as SlabKind;
  const profile = mode === "virtual" ? loadProfile(config.profile ?? DEFAULT_PROFILE) : null;
  const chosen = pickTopology(config);
  const defaults = profile === null ? {} : topologyDefaults(profile, cpus, chosen);
  const topology = topologyOf({ ...defaults, ...chosen, cpus, memoryBytes: memoryOf(config) });
  return {
    cpus,
    memoryBytes: topology.presentPages * PAGE_BYTES,
    topology,
    boot: {
      minFreeKbytes: integer("minFreeKbytes", config.minFreeKbytes ?? 0, 0, 2 ** 23),
      pcpBatch: integer("pcpBatch", config.pcpBatch ?? 0, 0, 1024),
      pcpHigh: integer("pcpHigh", config.pcpHigh ?? 0, 0, 65536),
      hugePages: config.hugePages ?? false,
      // Small machines have no modules to reserve for, and little to keep for dynamic per-CPU variables.
      ...(topology.presentPages <= 1024 ? { perCpuReservedBytes: 0, perCpuDynamicBytes: 4096 } : {}),
    },
    failslab: config.failslab === undefined ? null : parseFailslab(config.failslab),
    slabSettings: slabSettingsOf(config, slab),
    vmSettings: vmSettingsOf(config, parseBytes),
    threadBytes: threadSize(config.threadSize ?? THREAD_SIZES[0]),
    pageLevels: integer("pageLevels", config.pageLevels ?? 4, 4, 5) as 4 | 5,
    seed: integer("seed", config.seed ?? 1, 0, 0xffffffff),
    profile,
    switchAtEvery: oneOf("switch", config.switch ?? "marked", ["marked", "all"]) === "all",
    slackCycles: integer(
      "slack",
      config.slack ?? (config.switch === "all" ? 0 : DEFAULT_SLACK),
      0,
      1_000_000,
    ),
    countLines: config.cacheLines ?? false,
    tokens: mode === "parallel" ? tokenCount(config.tokens ?? "cores", cpus) : 1,
    heapMiB: integer("heapMiB", config.heapMiB ?? 512, 16, 65536),
    hangSeconds: integer("hangSeconds", config.hangSeconds ?? 10, 1, 86400),
    shape: shapeOf(config, mode, slab),
  };
}

/** What decides which code a worker runs. */
function shapeOf(config: MachineConfig, mode: Mode, slab: SlabKind): Shape {
  return {
    ...DEFAULT_SHAPE,
    mode,
    ...lockChoice(config.lock ?? DEFAULT_SHAPE.lock),
    pageLists: oneOf("pageLists", config.pageLists ?? "6.12", PAGE_LISTS) as PageLists,
    slab,
    failslab: config.failslab !== undefined,
    padding: config.padding ?? true,
    pcid: config.pcid ?? true,
    lazyTlb: config.lazyTlb ?? true,
    lazyCpumask: config.lazyCpumask ?? false,
    shootdown: shootdownKind(config),
    tlbBatching: config.tlbBatching ?? true,
    vmaLock: oneOf("vmaLock", config.vmaLock ?? DEFAULT_SHAPE.vmaLock, VMA_LOCKS) as VmaLockKind,
    checks: config.checks ?? false,
    lockstat: config.lockstat ?? false,
    trace: config.trace ?? false,
    mutants: config.mutants ?? [],
  };
}

/** Bytes of "64KiB", "256MiB", "2GiB" (also KB, MB, GB and K, M, G, all powers of 1024), or a plain number. */
export function parseBytes(field: string, text: number | string): number {
  if (typeof text === "number") return text;
  const match = /^(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?$/i.exec(text.trim());
  if (match === null)
    throw new UsageError(`${field}: "${text}" is not a size; write for example 256MiB or 2GiB`);
  const power = { "": 0, K: 1, M: 2, G: 3 }[match[2].toUpperCase()] ?? 0;
  return Number(match[1]) * 1024 ** power;
}

function memoryOf(config: MachineConfig): number | undefined {
  if (config.memoryMap === undefined) {
    const bytes = parseBytes("memory", config.memory ?? "256MiB");
    if (bytes >= MIN_MEMORY_BYTES && bytes <= MAX_RAM_BYTES && bytes % PAGE_BYTES === 0) return bytes;
    throw new UsageError(
      `memory: ${config.memory} is not valid; valid are multiples of 4KiB from 512KiB to 8GiB`,
    );
  }
  if (config.memory !== undefined) throw new UsageError("memory and memoryMap: valid is one of the two");
  return undefined;
}

/** Messages of the hardware name entries by PCID. */
function shootdownKind({ shootdown = DEFAULT_SHAPE.shootdown, pcid = true }: MachineConfig): ShootdownKind {
  const kind = oneOf("shootdown", shootdown, SHOOTDOWNS) as ShootdownKind;
  if (kind === "broadcast" && !pcid)
    throw new UsageError('shootdown: "broadcast" needs pcid true; without PCIDs valid is ipi');
  return kind;
}

function threadSize(size: number | string): number {
  const bytes = parseBytes("threadSize", size);
  if (THREAD_SIZES.includes(bytes)) return bytes;
  throw new UsageError(`threadSize: ${size} is not valid; valid are ${THREAD_SIZES.join(" and ")} bytes`);
}

function pickTopology(config: MachineConfig): TopologyChoice {
  const chosen = TOPOLOGY_KEYS.filter((key) => config[key] !== undefined).map((key) => [key, config[key]]);
  return Object.fromEntries(chosen) as TopologyChoice;
}

function refuseSimulatedTime(config: MachineConfig, mode: Mode): void {
  for (const key of SIMULATED_TIME_KEYS) {
    if (config[key] === undefined) continue;
    throw new UsageError(
      `${key}: needs simulated time, mode "virtual" (--mode virtual); the mode is "${mode}"`,
    );
  }
}

function tokenCount(tokens: number | string, cpus: number): number {
  if (tokens === "free") return cpus;
  if (tokens === "cores") return Math.min(cpus, availableParallelism());
  if (typeof tokens === "string") {
    throw new UsageError(`tokens: "${tokens}" is not valid; valid are 1 to ${cpus}, "cores" and "free"`);
  }
  return Math.min(integer("tokens", tokens, 1, MAX_CPUS), cpus);
}

function lockChoice(lock: string): { lock: LockKind; lockModule: string } {
  if (LOCKS.includes(lock)) return { lock: lock as LockKind, lockModule: "" };
  if (/\.(ts|js|mjs)$/.test(lock)) return { lock: "custom", lockModule: pathToFileURL(lock).href };
  throw new UsageError(
    `lock: "${lock}" is not valid; valid are ${LOCKS.join(", ")}, or a path to a .ts or .js module`,
  );
}

function integer(field: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new UsageError(`${field}: ${value} is not valid; valid are whole numbers from ${min} to ${max}`);
}

function oneOf(field: string, value: string, valid: readonly string[]): string {
  if (valid.includes(value)) return value;
  throw new UsageError(`${field}: "${value}" is not valid; valid are ${valid.join(", ")}`);
}
