/**
 * A machine's configuration: what a user writes, checked and completed.
 */

import { availableParallelism } from "node:os";
import { pathToFileURL } from "node:url";
import { UsageError } from "../memory/bug.ts";
import { DEFAULT_SHAPE, type LockKind, type Mode, type PageLists, type Shape } from "../memory/shape.ts";
import { MAX_RAM_BYTES, PAGE_BYTES } from "../memory/units.ts";

export const MAX_CPUS = 256;
export const MIN_MEMORY_BYTES = 512 * 1024;
const LOCKS: readonly string[] = ["tas", "ticket", "queued", "pv"];
const MODES: readonly string[] = ["parallel", "explore"];
const PAGE_LISTS: readonly string[] = ["6.12", "6.0", "off"];

/** Everything a user may choose; all fields have defaults. */
export interface MachineConfig {
  /** Simulated CPUs, 1 to 256.  Default: the host's cores. */
  readonly cpus?: number;
  /** RAM, in bytes or as "256MiB", "2GiB"; 512 KiB to 8 GiB.  Default 256MiB. */
  readonly memory?: number | string;
  /** NUMA nodes; CPUs and memory are split evenly.  Default 1. */
  readonly nodes?: number;
  /** Seed of every random choice.  Default 1. */
  readonly seed?: number;
  readonly mode?: Mode;
  /** CPUs that may run at once: a number, "cores" (the default) or "free" (all; the host preempts anywhere). */
  readonly tokens?: number | "cores" | "free";
  /** tas, ticket, queued, pv, or a path to a module with a lock of your own. */
  readonly lock?: string;
  readonly pageLists?: PageLists;
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
  readonly memoryBytes: number;
  readonly nodes: number;
  readonly seed: number;
  readonly tokens: number;
  readonly heapMiB: number;
  readonly hangSeconds: number;
  readonly shape: Shape;
}

/** Checks `config`; a UsageError names the field, the value and the valid range. */
export function resolveConfig(config: MachineConfig): ResolvedConfig {
  const cpus = integer("cpus", config.cpus ?? availableParallelism(), 1, MAX_CPUS);
  const memoryBytes = parseBytes("memory", config.memory ?? "256MiB");
  if (memoryBytes < MIN_MEMORY_BYTES || memoryBytes > MAX_RAM_BYTES || memoryBytes % PAGE_BYTES !== 0) {
    throw new UsageError(
      `memory: ${config.memory} is not valid; valid are multiples of 4KiB from 512KiB to 8GiB`,
    );
  }
  const nodes = integer("nodes", config.nodes ?? 1, 1, Math.min(cpus, 64));
  const mode = oneOf("mode", config.mode ?? "parallel", MODES) as Mode;
  return {
    cpus,
    memoryBytes,
    nodes,
    seed: integer("seed", config.seed ?? 1, 0, 0xffffffff),
    tokens: mode === "parallel" ? tokenCount(config.tokens ?? "cores", cpus) : 1,
    heapMiB: integer("heapMiB", config.heapMiB ?? 512, 16, 65536),
    hangSeconds: integer("hangSeconds", config.hangSeconds ?? 10, 1, 86400),
    shape: {
      ...DEFAULT_SHAPE,
      mode,
      ...lockChoice(config.lock ?? DEFAULT_SHAPE.lock),
      pageLists: oneOf("pageLists", config.pageLists ?? "6.12", PAGE_LISTS) as PageLists,
      checks: config.checks ?? false,
      lockstat: config.lockstat ?? false,
      trace: config.trace ?? false,
      mutants: config.mutants ?? [],
    },
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
