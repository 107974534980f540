/** The slab workloads under each allocator on a simulated machine, as points of curves. */

import { Machine } from "../../src/machine/machine.ts";
import type { RunResult } from "../../src/machine/program.ts";

export const ALLOCATORS = ["slub", "slab", "slob"] as const;
export type Allocator = (typeof ALLOCATORS)[number];

/** Each with its options. */
export const WORKLOADS: readonly { readonly name: string; readonly options: Record<string, number> }[] = [
  { name: "slab-hot", options: {} },
  { name: "slab-burst", options: { burst: 256 } },
  { name: "slab-remote", options: { batch: 32 } },
  { name: "slab-one-to-many", options: { batch: 32 } },
];

export interface Point {
  readonly workload: string;
  readonly allocator: Allocator;
  readonly cpus: number;
  /** Of all CPUs, per simulated second. */
  readonly perSecond: number;
  /** The lock that was waited for longest, and its part of all CPUs' time; "" none. */
  readonly lock: string;
  readonly lockShare: number;
}

export interface Experiment {
  readonly allocator: Allocator;
  readonly cpus: number;
  readonly profile: string;
  readonly memory: string;
  /** Simulated. */
  readonly seconds: number;
}

/** All workloads that the number of CPUs allows, each on a machine of its own. */
export async function measure(experiment: Experiment): Promise<Point[]> {
  const { allocator, cpus, profile, memory, seconds } = experiment;
  const points: Point[] = [];
  for (const { name, options } of WORKLOADS) {
    if (name === "slab-one-to-many" && cpus < 2) continue;
    const machine = await Machine.boot({ cpus, memory, mode: "virtual", profile, slab: allocator });
    const result = await machine.run(name, { seconds, options });
    if (result.fault !== null)
      throw new Error(`${name}, ${allocator}, ${cpus} CPUs: ${result.fault.message}`);
    await machine.halt();
    points.push({ workload: name, allocator, cpus, ...rateOf(result) });
  }
  return points;
}

function rateOf({ cpuResults, locks }: RunResult): { perSecond: number; lock: string; lockShare: number } {
  const phases = cpuResults.flatMap((cpu) => cpu.phases);
  const operations = phases.reduce((sum, phase) => sum + phase.operations, 0);
  const longestNs = Math.max(...phases.map((phase) => phase.elapsedNs));
  const allNs = cpuResults.reduce((sum, cpu) => sum + cpu.elapsedNs, 0);
  const [worst] = locks.toSorted((a, b) => b.waitNs - a.waitNs);
  return {
    perSecond: (operations / longestNs) * 1e9,
    lock: worst === undefined || worst.waitNs === 0 ? "" : worst.name,
    lockShare: (worst?.waitNs ?? 0) / allNs,
  };
}
