/** Pools with a reserve, and DMA pools, under real threads while all allocations fail. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const PROGRESS = join(import.meta.dirname, "../support/programs/pool-progress.ts");

afterAll(destroyIdlePools);

/** Goal: whoever waits for an element gets one, and no element has two owners.  Method: see the program. */
test.each<[string, MachineConfig, number]>([
  ["6 CPUs", { cpus: 6, seed: 51 }, 400],
  ["6 CPUs that run freely", { cpus: 6, tokens: "free", seed: 52 }, 200],
  ["SLAB, 4 CPUs", { cpus: 4, slab: "slab", seed: 54 }, 200],
  ["simulated time", { cpus: 8, mode: "virtual", seed: 53 }, 100],
])("everybody gets through with two elements in reserve: %s", async (name, config, operations) => {
  console.log(`pool-progress, ${name}, seed ${config.seed}`);
  const machine = await Machine.boot({ memory: "64MiB", checks: true, failslab: "1,0,0,-1", ...config });
  const { fault, cpuResults } = await machine.run(PROGRESS, { operations });
  expect(fault?.message ?? "no fault").toBe("no fault");
  expect(cpuResults.map(({ value }) => value)).toEqual(new Array<number>(config.cpus ?? 0).fill(operations));
  const { fault: broken } = await machine.check();
  expect(broken).toBe(null);
  await machine.halt();
});
