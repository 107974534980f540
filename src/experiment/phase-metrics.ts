/**
 * From one run's raw counts to what people compare: operations a second, ns an operation, fairness.
 *
 * Throughput is all operations over the *longest* time a CPU took, so a CPU that lags costs what it costs the user.
 * Cost is the time of a CPU per operation of its own, averaged over operations, which is how the page-allocator
 * benchmarks of the LLFree paper report it.
 */

import type { RunResult } from "../machine/program.ts";

/** One CPU's part of a phase. */
export interface CpuShare {
  readonly cpu: number;
  readonly operations: number;
  readonly elapsedNs: number;
}

export interface PhaseSample {
  readonly name: string;
  readonly operations: number;
  /** From the start gate until the last CPU ended. */
  readonly elapsedNs: number;
  readonly opsPerSecond: number;
  readonly nsPerOp: number;
  /** Rate of the slowest CPU over that of the fastest; 1 is fair, 0 is a CPU that starved. */
  readonly fairness: number;
  readonly perCpu: readonly CpuShare[];
}

/** The phases of a run in the order in which they first appear; phases in which no time passed are left out. */
export function phaseSamples(result: RunResult): PhaseSample[] {
  const shares = new Map<string, CpuShare[]>();
  for (const { cpu, phases } of result.cpuResults) {
    for (const { name, operations, elapsedNs } of phases) {
      if (elapsedNs <= 0) continue;
      const list = shares.get(name) ?? [];
      list.push({ cpu, operations, elapsedNs });
      shares.set(name, list);
    }
  }
  return [...shares].map(([name, perCpu]) => sampleOf(name, perCpu)).filter((s) => s.operations > 0);
}

function sampleOf(name: string, perCpu: readonly CpuShare[]): PhaseSample {
  // CPUs that only serve others (targets of IPIs) do no operations, and their time is no operation's cost.
  const working = perCpu.filter((share) => share.operations > 0);
  const operations = sum(working.map((share) => share.operations));
  const elapsedNs = Math.max(...perCpu.map((share) => share.elapsedNs));
  const rates = perCpu.map(rateOf);
  return {
    name,
    operations,
    elapsedNs,
    opsPerSecond: (operations / elapsedNs) * 1e9,
    nsPerOp: sum(working.map((share) => share.elapsedNs)) / operations,
    fairness: Math.min(...rates) / Math.max(...rates),
    perCpu,
  };
}

/** Operations a second of one CPU. */
export const rateOf = (share: CpuShare): number => (share.operations / share.elapsedNs) * 1e9;

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
