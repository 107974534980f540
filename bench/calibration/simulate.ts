/**
 * The published experiment on a simulated machine: one zone, page lists as long as those of the real one (see PCP_HIGH),
 * every core allocates `pages` single pages, or blocks of as many, which are half of the memory.
 */

import { writeFileSync } from "node:fs";
import { Machine } from "../../src/machine/machine.ts";
import type { Profile } from "../../src/schedule/virtual/profile.ts";
import type { Curve } from "./published.ts";

/**
 * A page list's `high` on the published machine: the low watermark of its zone, shared by the CPUs.  128 GiB in one node
 * with transparent huge pages: min_free_kbytes is 67584, min 16896 pages, low min + managed / 1000, 50450 pages; 32 CPUs.
 */
export const PCP_HIGH = 1576;
const PCP_BATCH = 63;
const MIB = 2 ** 20;
/** Pairs of page-repeat: enough to forget the first refills. */
const PAIRS = 4000;

export interface Experiment {
  readonly workload: Curve["workload"];
  readonly order: number;
  readonly cores: number;
  readonly pages: number;
}

/** Nanoseconds per operation, mean over CPUs, by phase. */
export async function simulate(
  experiment: Experiment,
  profileFile: string,
  settings: object = {},
): Promise<Record<string, number>> {
  const { workload, order, cores, pages } = experiment;
  const half = Math.min(2 * cores * pages * 4096, 7900 * MIB);
  const memory = Math.ceil((half * 1.02) / (4 * MIB) + 8) * 4 * MIB;
  const machine = await Machine.boot({
    cpus: cores,
    memory: Math.min(memory, 8192 * MIB),
    zones: { dmaBytes: 0, dma32Bytes: 0, lowmemBytes: Number.POSITIVE_INFINITY },
    firmware: "flat",
    mode: "virtual",
    profile: profileFile,
    pageLists: "6.0",
    pcpHigh: PCP_HIGH,
    pcpBatch: PCP_BATCH,
    ...settings,
  });
  const available = Math.min(memory, 8192 * MIB) / 4096;
  const result = await machine.run(workload, {
    operations: workload === "page-repeat" ? PAIRS : 1,
    options: { order, fraction: Math.min(0.95, (cores * pages) / available) },
  });
  if (result.fault !== null) throw new Error(`${result.fault.message}\n${result.fault.report}`);
  await machine.halt();
  const phases = result.cpuResults[0].phases.map(({ name }) => name);
  return Object.fromEntries(
    phases.map((name, i) => {
      const each = result.cpuResults.map((cpu) => cpu.phases[i].elapsedNs / cpu.phases[i].operations);
      return [name, each.reduce((sum, ns) => sum + ns, 0) / each.length];
    }),
  );
}

export function writeProfile(profile: Profile, file: string): string {
  writeFileSync(file, `${JSON.stringify(profile, null, 2)}\n`);
  return file;
}
