/**
 * Profiles: what a real machine costs, as a JSON file that one can write for one's own.
 *
 * All costs are cycles of the machine's clock unless said.  `validateProfile` checks a file and names what is wrong;
 * `resolveCosts` turns a profile and a topology into the tables that the memory looks up.
 */

import type { Topology } from "../../hardware/topology.ts";
import { UsageError } from "../../memory/bug.ts";
import { WORK_CLASSES, WORK_NAMES } from "../../memory/work.ts";
import type { Costs, TransferCost } from "./costs.ts";

export interface Profile {
  readonly name: string;
  readonly description: string;
  /** Where the figures come from. */
  readonly source: string;
  readonly clockGHz: number;
  /** The machine that the profile describes; settings of the user's go before these. */
  readonly machine: {
    readonly sockets: number;
    readonly nodes: number;
    readonly clusterCpus?: number;
    readonly maxCpus: number;
  };
  readonly access: {
    readonly hit: number;
    readonly locked: number;
    readonly bulkLine: number;
    readonly pause: number;
  };
  readonly upgrade: TransferCost;
  /** A line from another CPU's cache: in the same cluster, the same node, and for each 10 of node distance above 10. */
  readonly transfer: {
    readonly cluster: TransferCost;
    readonly node: TransferCost;
    readonly perDistance10: TransferCost;
  };
  readonly memory: {
    readonly local: number;
    readonly perDistance10: number;
    readonly stream: number;
    readonly streamWindowLines: number;
  };
  /** Lines of 64 bytes that a CPU holds: a power of two. */
  readonly cacheLines: number;
  readonly interrupt: { readonly send: number; readonly deliver: number; readonly entry: number };
  readonly work: Readonly<Record<string, number>>;
}

type Shape = { readonly [key: string]: "number" | "text" | Shape };

const COST: Shape = { plain: "number", marked: "number" };
const SHAPE: Shape = {
  name: "text",
  description: "text",
  source: "text",
  clockGHz: "number",
  machine: { sockets: "number", nodes: "number", maxCpus: "number" },
  access: { hit: "number", locked: "number", bulkLine: "number", pause: "number" },
  upgrade: COST,
  transfer: { cluster: COST, node: COST, perDistance10: COST },
  memory: { local: "number", perDistance10: "number", stream: "number", streamWindowLines: "number" },
  cacheLines: "number",
  interrupt: { send: "number", deliver: "number", entry: "number" },
  work: Object.fromEntries(WORK_NAMES.map((name) => [name, "number"])) as Shape,
};
const OPTIONAL = new Set(["machine.clusterCpus"]);

/** Checks that `value` is a profile; a UsageError names the field and what is valid. */
export function validateProfile(value: unknown, origin: string): Profile {
  checkShape(value, SHAPE, origin, "");
  const profile = value as Profile;
  const { cacheLines, clockGHz } = profile;
  if (!Number.isInteger(Math.log2(cacheLines)) || cacheLines < 64 || cacheLines > 2 ** 20)
    throw new UsageError(
      `${origin}: cacheLines is ${cacheLines}; valid are powers of two from 64 to 1048576`,
    );
  if (clockGHz < 0.1 || clockGHz > 10)
    throw new UsageError(`${origin}: clockGHz is ${clockGHz}; valid are 0.1 to 10`);
  return profile;
}

function checkShape(value: unknown, shape: Shape, origin: string, path: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`${origin}: ${path === "" ? "a profile" : path} must be an object`);
  const given = value as Record<string, unknown>;
  for (const key of Object.keys(given)) {
    const name = path === "" ? key : `${path}.${key}`;
    if (!(key in shape) && !OPTIONAL.has(name))
      throw new UsageError(
        `${origin}: ${name} is unknown; valid in ${path || "a profile"} are ${Object.keys(shape).join(", ")}`,
      );
  }
  for (const [key, kind] of Object.entries(shape)) {
    const name = path === "" ? key : `${path}.${key}`;
    const field = given[key];
    if (typeof kind === "object") checkShape(field, kind, origin, name);
    else if (kind === "text") {
      if (typeof field !== "string") throw new UsageError(`${origin}: ${name} must be a text`);
    } else if (typeof field !== "number" || !Number.isFinite(field) || field < 0) {
      throw new UsageError(`${origin}: ${name} is ${JSON.stringify(field)}; valid are numbers from 0`);
    }
  }
}

/** Tables for `topology`. */
export function resolveCosts(profile: Profile, topology: Topology): Costs {
  const { possibleCpus: cpus, nodes, distances, cpuNode, cpuCluster } = topology;
  const { transfer, memory } = profile;
  const transferPlain = new Float64Array(cpus * cpus);
  const transferMarked = new Float64Array(cpus * cpus);
  const memoryMiss = new Float64Array(cpus * nodes);
  for (let a = 0; a < cpus; a++) {
    for (let b = 0; b < cpus; b++) {
      const far = (distances[cpuNode[a]][cpuNode[b]] - 10) / 10;
      const base = cpuCluster[a] === cpuCluster[b] ? transfer.cluster : transfer.node;
      transferPlain[a * cpus + b] = base.plain + far * transfer.perDistance10.plain;
      transferMarked[a * cpus + b] = base.marked + far * transfer.perDistance10.marked;
    }
    for (let n = 0; n < nodes; n++) {
      memoryMiss[a * nodes + n] =
        memory.local + ((distances[cpuNode[a]][n] - 10) / 10) * memory.perDistance10;
    }
  }
  const work = new Float64Array(WORK_CLASSES);
  for (const [kind, name] of WORK_NAMES.entries()) work[kind] = profile.work[name];
  return {
    cyclesPerNs: profile.clockGHz,
    hit: profile.access.hit,
    locked: profile.access.locked,
    upgrade: profile.upgrade,
    transferPlain,
    transferMarked,
    streamMiss: memory.stream,
    streamWindowLines: memory.streamWindowLines,
    memoryMiss,
    nodes,
    cacheLinesLog2: Math.log2(profile.cacheLines),
    work,
    bulkLine: profile.access.bulkLine,
    pause: profile.access.pause,
    ipiSend: profile.interrupt.send,
    ipiDeliver: profile.interrupt.deliver,
    interruptEntry: profile.interrupt.entry,
  };
}
