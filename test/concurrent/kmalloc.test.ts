/** The kmalloc family under real threads. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const CHURN = join(import.meta.dirname, "../support/programs/kmalloc-churn.ts");

afterAll(destroyIdlePools);

/**
 * Goal: no memory is given twice, none is lost, what it holds survives krealloc, all pages come back.  Method: see the
 * program; all CPUs make the caches at once; at rest the whole kernel is checked, and the free pages are counted before
 * and after a second run.
 */
test.each<[string, MachineConfig, number]>([
  ["2 CPUs", { cpus: 2, seed: 41 }, 4_000],
  ["8 CPUs that run freely, 4 nodes", { cpus: 8, nodes: 4, memory: "128MiB", tokens: "free", seed: 42 }, 500],
  ["SLAB, 4 CPUs on 2 nodes", { cpus: 4, nodes: 2, slab: "slab", seed: 44 }, 1_000],
  ["SLOB, 3 CPUs", { cpus: 3, slab: "slob", seed: 46 }, 500],
  ["red zones, poison, tracks", { cpus: 2, slabDebug: "FZPU", slabPanic: true, seed: 45 }, 300],
  ["simulated time", { cpus: 4, mode: "virtual", seed: 43 }, 200],
])("what kmalloc gives is its owner's alone: %s", async (name, config, operations) => {
  console.log(`kmalloc-churn, ${name}, seed ${config.seed}`);
  const machine = await Machine.boot({ memory: "64MiB", checks: true, ...config });
  const freeAfterRun = async (): Promise<number> => {
    const { fault } = await machine.run(CHURN, { operations });
    expect(fault?.message ?? "no fault").toBe("no fault");
    const { fault: broken, report } = await machine.check();
    expect(broken).toBe(null);
    return report?.freePages ?? -1;
  };
  // The caches' own structures stay.
  const free = await freeAfterRun();
  expect(await freeAfterRun()).toBe(free);
  await machine.halt();
});
