/**
 * NUMA in simulated time: what programs measure inside is what the profile says, and what was published of the machine.
 */

import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { transferBetween } from "../../src/schedule/virtual/profile.ts";
import { topologyDefaults } from "../../src/schedule/virtual/profile-topology.ts";
import { loadProfile, profileNames } from "../../src/schedule/virtual/profiles.ts";

afterAll(destroyIdlePools);

const TRIPS = 20;

/** CPUs by node and the size of clusters: few, but with a pair of every kind that the profile's machine has. */
const SMALL: Readonly<Record<string, { cpuNodes: readonly number[]; clusterCpus?: number }>> = {
  "xeon-gold-5320": { cpuNodes: [0, 0, 0] },
  "xeon-8375c-2s": { cpuNodes: [0, 0, 1, 1] },
  "epyc-7763-2s-nps4": { cpuNodes: [0, 0, 0, 1, 4, 5], clusterCpus: 2 },
  "ryzen-5950x": { cpuNodes: [0, 0, 0, 0], clusterCpus: 2 },
};

async function smallMachine(name: string): Promise<Machine> {
  const { cpuNodes, clusterCpus } = SMALL[name];
  const cpus = cpuNodes.length;
  const chosen = { cpuNodes, ...(clusterCpus === undefined ? {} : { clusterCpus }) };
  const topology = { ...topologyDefaults(loadProfile(name), cpus, chosen), ...chosen };
  return Machine.boot({ mode: "virtual", profile: name, cpus, memory: "64MiB", ...topology });
}

async function coreLatency(machine: Machine): Promise<number[][]> {
  const options = { trips: TRIPS, batches: 3 };
  const { cpuResults, fault } = await machine.run("core-latency", { operations: 1, options });
  expect(fault).toBeNull();
  return cpuResults.map(({ value }) => (value as { latencyNs: number[] }).latencyNs);
}

/** One way from CPU 0 to others as published, ns: the sources are in the profiles. */
const PUBLISHED: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  "xeon-8375c-2s": { 1: 51, 2: 108 },
  "epyc-7763-2s-nps4": { 1: 23, 2: 90, 3: 107, 4: 197 },
  "ryzen-5950x": { 1: 17, 2: 85 },
};

describe("the core-to-core matrix", () => {
  // The reader's miss, then its posted answer, which upgrades the line that it has just read.  Two accesses that begin
  // and end a batch hit.
  test.each(profileNames())(
    "%s: measured is transfer + upgrade for every pair, as published",
    async (name) => {
      const profile = loadProfile(name);
      const machine = await smallMachine(name);
      const { topology } = machine.config;
      const measured = await coreLatency(machine);
      await machine.halt();
      for (const [a, row] of measured.entries()) {
        for (const [b, ns] of row.entries()) {
          if (a === b) continue;
          const cycles = transferBetween(profile, topology, a, b).marked + profile.upgrade.plain;
          expect(ns * profile.clockGHz, `CPU ${a} from CPU ${b}`).toBeGreaterThanOrEqual(cycles);
          expect(ns * profile.clockGHz).toBeLessThanOrEqual(cycles + (2 * profile.access.hit) / TRIPS);
        }
      }
      for (const [cpu, ns] of Object.entries(PUBLISHED[name] ?? {})) {
        expect(measured[0][Number(cpu)] / ns, `CPU 0 from CPU ${cpu}`).toBeGreaterThan(0.99);
        expect(measured[0][Number(cpu)] / ns, `CPU 0 from CPU ${cpu}`).toBeLessThan(1.01);
      }
    },
  );
});
