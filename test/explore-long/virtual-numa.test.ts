/** The core-to-core matrix of whole machines in simulated time: every pair, against the profile. */

import { afterAll, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { transferBetween } from "../../src/schedule/virtual/profile.ts";
import { loadProfile } from "../../src/schedule/virtual/profiles.ts";

afterAll(destroyIdlePools);

const TRIPS = 4;

/** Of the eight-node machine every second CPU, so that each cluster, node and socket has some. */
const eightNodes = { cpuNodes: Array.from({ length: 64 }, (_, cpu) => cpu >> 3), clusterCpus: 4 };

test.each([
  ["xeon-gold-5320", 26, {}],
  ["xeon-8375c-2s", 64, {}],
  ["epyc-7763-2s-nps4", 64, eightNodes],
  ["ryzen-5950x", 16, {}],
])("%s: %i CPUs measure what the profile says of each pair", async (name, cpus, topology) => {
  const profile = loadProfile(name);
  const machine = await Machine.boot({ mode: "virtual", profile: name, cpus, memory: "256MiB", ...topology });
  const options = { trips: TRIPS, batches: 1 };
  const { cpuResults, fault } = await machine.run("core-latency", { operations: 1, options });
  expect(fault).toBeNull();
  await machine.halt();
  const wrong: string[] = [];
  for (const [a, { value }] of cpuResults.entries()) {
    for (const [b, ns] of (value as { latencyNs: number[] }).latencyNs.entries()) {
      if (a === b) continue;
      const cycles = transferBetween(profile, machine.config.topology, a, b).marked + profile.upgrade.plain;
      const over = ns * profile.clockGHz - cycles;
      if (over < -1e-6 || over > (2 * profile.access.hit) / TRIPS)
        wrong.push(`${a} from ${b}: ${over} cycles`);
    }
  }
  expect(wrong).toEqual([]);
});
