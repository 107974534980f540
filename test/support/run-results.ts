/** Hand-built run results: what a machine would return, with figures chosen by the test. */

import type { Report } from "../../src/experiment/report-model.ts";
import { relateRows, summariseRow } from "../../src/experiment/summarise.ts";
import type { LockResult, RunResult } from "../../src/machine/program.ts";

/** Operations and ns of each CPU, by phase. */
export type Shares = Readonly<Record<string, readonly (readonly [operations: number, elapsedNs: number])[]>>;

export function runResult(shares: Shares, changes: Partial<RunResult> = {}): RunResult {
  const cpus = Object.values(shares)[0]?.length ?? 1;
  return {
    mode: "parallel",
    seed: 1,
    cpus,
    hostCores: 2,
    tokens: Math.min(cpus, 2),
    pinned: true,
    program: "page-bulk",
    options: {},
    wallMs: 10,
    cpuResults: Array.from({ length: cpus }, (_, cpu) => ({
      cpu,
      phases: Object.entries(shares).map(([name, list]) => ({
        name,
        operations: list[cpu][0],
        elapsedNs: list[cpu][1],
      })),
      elapsedNs: Object.values(shares).reduce((sum, list) => sum + list[cpu][1], 0),
      value: null,
      log: [],
      parks: 2,
      slices: 3,
    })),
    locks: [],
    interrupts: {},
    cacheLines: null,
    interrupted: false,
    fault: null,
    ...changes,
  };
}

/** All CPUs did the same. */
export const evenShares = (cpus: number, operations: number, elapsedNs: number): Shares => ({
  get: Array.from({ length: cpus }, () => [operations, elapsedNs] as const),
});

export function lockResult(name: string, changes: Partial<LockResult> = {}): LockResult {
  return { name, acquisitions: 100, contended: 10, waitNs: 5000, waitMaxNs: 900, heldNs: 0, ...changes };
}

/** A report of one experiment: a row for each list of runs. */
export function reportOf(rows: readonly (readonly RunResult[])[], label = ""): Report {
  return {
    format: "smpsim-report",
    version: 1,
    title: "A report",
    command: "smpsim bench page-bulk",
    createdAt: "2026-01-01T00:00:00.000Z",
    versions: { smpsim: "0.1.0", node: "26.10.0", v8: "14" },
    host: { cores: 2, model: "A processor", memoryBytes: 2 ** 33, platform: "linux", arch: "x64" },
    experiments: [
      {
        title: "page-bulk",
        workload: "page-bulk",
        mode: "parallel",
        seed: 1,
        seconds: 1,
        operations: null,
        repeats: rows[0]?.length ?? 0,
        machine: { memory: "256MiB" },
        options: { order: 0 },
        variants: [
          {
            label,
            settings: {},
            mode: "parallel",
            simulation: null,
            seconds: 1,
            repeats: rows[0]?.length ?? 0,
            rows: relateRows(
              rows.map((runs) => summariseRow(runs)),
              "parallel",
            ),
          },
        ],
        usage: { seconds: 2, peakMemoryBytes: 2 ** 28 },
        audit: null,
        othersShare: null,
        interrupted: false,
      },
    ],
  };
}
