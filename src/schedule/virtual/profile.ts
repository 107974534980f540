/**
 * Profiles: what a real machine costs, as a JSON file that one can write for one's own (docs/SIMULATED-TIME.md).
 *
 * All costs are cycles of the machine's clock unless said.  profile-check says what is valid; `resolveCosts` turns a
 * profile and a topology into the tables that the memory looks up.
 */

import { LOCAL_DISTANCE, type Topology } from "../../hardware/topology.ts";
import { WORK_CLASSES, WORK_NAMES, Work } from "../../memory/work.ts";
import type { Costs, TransferCost } from "./costs.ts";

export interface Profile {
  readonly name: string;
  readonly description: string;
  /** Where the figures come from, in one paragraph. */
  readonly source: string;
  /** Of single fields, by path ("access.hit"): where the figure comes from, and whether it is measured or assumed. */
  readonly notes?: Readonly<Record<string, string>>;
  readonly clockGHz: number;
  readonly machine: ProfileMachine;
  readonly access: {
    readonly hit: number;
    readonly locked: number;
    readonly bulkLine: number;
    readonly pause: number;
  };
  readonly upgrade: TransferCost;
  /** A line from another CPU's cache. */
  readonly transfer: {
    /** Both CPUs share a last-level cache. */
    readonly cluster: TransferCost;
    /** Another cluster of the same node. */
    readonly socket: TransferCost;
    /** Another node, by distance, ascending; between two entries the cost is on the straight line. */
    readonly nodes: readonly (TransferCost & { readonly distance: number })[];
  };
  readonly memory: {
    /** A miss to memory of this CPU's node. */
    readonly local: number;
    /** The same for an atomic operation, which waits for all of it.  Other nodes: in proportion. */
    readonly marked: number;
    /** A miss that the prefetcher saw coming. */
    readonly stream: number;
    /** How near the miss before must be for that, lines. */
    readonly streamWindowLines: number;
    /** Memory of another node, by distance, ascending, as in `transfer`. */
    readonly nodes: readonly {
      readonly distance: number;
      readonly miss: number;
      readonly stream: number;
    }[];
  };
  /** Lines of 64 bytes that a CPU holds: a power of two. */
  readonly cacheLines: number;
  /** Between CPUs: what the sender pays, the way, entry to the handler, and the end of it (EOI and return). */
  readonly interrupt: {
    readonly send: number;
    readonly deliver: number;
    readonly entry: number;
    readonly acknowledge: number;
  };
  /** By class of memory/work. */
  readonly work: Readonly<Record<string, number>>;
}

/** The machine that a profile describes; settings of the user's go before these. */
export interface ProfileMachine {
  readonly sockets: number;
  readonly nodes: number;
  /** CPUs that share a last-level cache; left out: all of a node. */
  readonly clusterCpus?: number;
  /** Size of each last-level cache. */
  readonly cacheBytes?: number;
  readonly maxCpus: number;
  /** As `numactl --hardware` prints them. */
  readonly distances: readonly (readonly number[])[];
}

/** Tables for `topology`, in memory that all threads share: a table of pairs of 256 CPUs has half a megabyte. */
export function resolveCosts(profile: Profile, topology: Topology): Costs {
  const { possibleCpus: cpus, nodes } = topology;
  const { memory } = profile;
  const transferPlain = sharedTable(cpus * cpus);
  const transferMarked = sharedTable(cpus * cpus);
  const memoryMiss = sharedTable(cpus * nodes);
  const memoryMissMarked = sharedTable(cpus * nodes);
  const streamMiss = sharedTable(cpus * nodes);
  for (let a = 0; a < cpus; a++) {
    for (let b = 0; b < cpus; b++) {
      const cost = transferBetween(profile, topology, a, b);
      transferPlain[a * cpus + b] = cost.plain;
      transferMarked[a * cpus + b] = cost.marked;
    }
    for (let n = 0; n < nodes; n++) {
      const cost = missTo(profile, topology, a, n);
      memoryMiss[a * nodes + n] = cost.miss;
      memoryMissMarked[a * nodes + n] = (cost.miss * memory.marked) / memory.local;
      streamMiss[a * nodes + n] = cost.stream;
    }
  }
  const work = sharedTable(WORK_CLASSES);
  for (const name of WORK_NAMES) work[Work[name as keyof typeof Work]] = profile.work[name];
  work[Work.COMPUTE] = profile.clockGHz;
  return {
    cyclesPerNs: profile.clockGHz,
    hit: profile.access.hit,
    locked: profile.access.locked,
    upgrade: profile.upgrade,
    transferPlain,
    transferMarked,
    streamMiss,
    streamWindowLines: memory.streamWindowLines,
    memoryMiss,
    memoryMissMarked,
    nodes,
    cacheLinesLog2: Math.log2(profile.cacheLines),
    work,
    bulkLine: profile.access.bulkLine,
    pause: profile.access.pause,
    ipiSend: profile.interrupt.send,
    ipiDeliver: profile.interrupt.deliver,
    interruptEntry: profile.interrupt.entry,
    interruptAcknowledge: profile.interrupt.acknowledge,
  };
}

const sharedTable = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(length * 8));

/** A line from CPU `b`'s cache to CPU `a`. */
export function transferBetween(profile: Profile, topology: Topology, a: number, b: number): TransferCost {
  const { cpuNode, cpuCluster, distances } = topology;
  const { cluster, socket, nodes } = profile.transfer;
  if (cpuCluster[a] === cpuCluster[b]) return cluster;
  if (cpuNode[a] === cpuNode[b]) return socket;
  const distance = distances[cpuNode[a]][cpuNode[b]];
  const points = [{ distance: LOCAL_DISTANCE, ...socket }, ...nodes];
  return {
    plain: atDistance(distance, points, ({ plain }) => plain),
    marked: atDistance(distance, points, ({ marked }) => marked),
  };
}

/** A miss of `cpu` to memory of `node`: not foreseen, and foreseen. */
function missTo(
  profile: Profile,
  topology: Topology,
  cpu: number,
  node: number,
): { miss: number; stream: number } {
  const { local, stream, nodes } = profile.memory;
  const distance = topology.distances[topology.cpuNode[cpu]][node];
  const points = [{ distance: LOCAL_DISTANCE, miss: local, stream }, ...nodes];
  return {
    miss: atDistance(distance, points, (point) => point.miss),
    stream: atDistance(distance, points, (point) => point.stream),
  };
}

/** On the straight line through the two points next to `distance`; beyond the last point, through the last two. */
function atDistance<P extends { readonly distance: number }>(
  distance: number,
  points: readonly P[],
  costOf: (point: P) => number,
): number {
  const after = points.findIndex((point, i) => i > 0 && point.distance >= distance);
  const last = after < 0 ? points.length - 1 : after;
  const [a, b] = [points[last - 1], points[last]];
  const slope = (costOf(b) - costOf(a)) / (b.distance - a.distance);
  return costOf(a) + slope * (distance - a.distance);
}
