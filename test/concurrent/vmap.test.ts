/** Kernel virtual memory under real threads. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const CHURN = join(import.meta.dirname, "../support/programs/vmap-churn.ts");

afterAll(destroyIdlePools);

/**
 * Goal: no address is given twice or before the flush that covers it, and every access reaches the frame that the tables
 * name.  Method: every page is stamped through its mapping and verified by whoever frees it, often another CPU; purges come
 * often.  At rest trees, tables and TLBs are checked, and nothing is left.
 */
test.each<[string, MachineConfig, number]>([
  ["2 CPUs", { cpus: 2, seed: 31 }, 1_500],
  ["8 CPUs that run freely", { cpus: 8, tokens: "free", seed: 32 }, 300],
  ["8 CPUs on 4 nodes", { cpus: 8, nodes: 4, memory: "128MiB", seed: 33 }, 300],
  ["simulated time", { cpus: 4, mode: "virtual", seed: 34 }, 80],
])("every page is where its mapping says, and none is lost: %s", async (name, config, operations) => {
  console.log(`vmap-churn, ${name}, seed ${config.seed}`);
  const machine = await Machine.boot({ memory: "64MiB", checks: true, ...config });
  for (let i = 0; i < 2; i++) {
    const { fault } = await machine.run(CHURN, { operations });
    expect(fault?.message ?? "no fault").toBe("no fault");
    const { fault: found } = await machine.check();
    expect(found).toBe(null);
  }
  await machine.halt();
});
