/**
 * Puts the virtual-time mode of one CPU's thread together.
 */

import type { Topology } from "../../hardware/topology.ts";
import { LINE_WORDS, WORD_BYTES } from "../../memory/units.ts";
import { Cache } from "./cache.ts";
import { clockTreeBytes } from "./clock-tree.ts";
import type { Costs } from "./costs.ts";
import { LineStats } from "./line-stats.ts";
import { VirtualMemory } from "./memory.ts";
import { type Profile, resolveCosts } from "./profile.ts";
import { VirtualTurn } from "./turn.ts";

/** What a simulated machine has beside its buffers. */
export interface VirtualParts {
  readonly costs: Costs;
  /** One word a line of RAM. */
  readonly directory: SharedArrayBuffer;
  /** Two words a line of RAM: see memory. */
  readonly busy: SharedArrayBuffer;
  /** What each CPU holds: two words a line. */
  readonly held: SharedArrayBuffer;
  /** The CPUs' simulated clocks: see clock-tree. */
  readonly clocks: SharedArrayBuffer;
  /** The node of each piece of RAM, a byte for NODE_CHUNK_BYTES. */
  readonly chunkNodes: SharedArrayBuffer;
  /** Look for a CPU with a smaller clock at every access, not only at marked ones. */
  readonly switchAtEvery: boolean;
  /** How far a CPU may run ahead of the others, cycles. */
  readonly slackCycles: number;
  readonly countLines: boolean;
}

export interface VirtualThreadParts {
  readonly ram: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly cpu: number;
  readonly cpus: number;
  readonly virtual: VirtualParts | null;
}

/** The shared tables of a machine with `ramBytes` of RAM. */
export function createTables(
  profile: Profile,
  topology: Topology,
  ramBytes: number,
): Pick<VirtualParts, "costs" | "directory" | "busy" | "held" | "clocks"> {
  const cpus = topology.possibleCpus;
  const lines = ramBytes / (LINE_WORDS * WORD_BYTES);
  return {
    costs: resolveCosts(profile, topology),
    directory: new SharedArrayBuffer(lines * 4),
    busy: new SharedArrayBuffer(lines * 8),
    held: Cache.table(profile.cacheLines, cpus),
    clocks: new SharedArrayBuffer(clockTreeBytes(cpus)),
  };
}

export function createVirtual(parts: VirtualThreadParts): { turn: VirtualTurn; memory: VirtualMemory } {
  const { virtual } = parts;
  if (virtual === null) throw new Error("a machine of virtual time was built without its profile");
  const { costs } = virtual;
  const turn = new VirtualTurn({ ...parts, clocks: virtual.clocks, costs });
  const memory = new VirtualMemory({
    ...parts,
    directory: virtual.directory,
    busy: virtual.busy,
    held: virtual.held,
    turn,
    costs,
    chunkNode: new Uint8Array(virtual.chunkNodes),
    lineStats: virtual.countLines ? new LineStats() : null,
    switchAtEvery: virtual.switchAtEvery,
    slackCycles: virtual.slackCycles,
  });
  return { turn, memory };
}
