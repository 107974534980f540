/** The slab workloads: every CPU does its part, all objects and pages come back, planted defects are noticed. */

import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { operationsOf, runOn, runWell } from "../../support/run-workload.ts";

const CORRUPTION = join(import.meta.dirname, "../../support/programs/slab-corruption.ts");

afterAll(destroyIdlePools);

/** Each with the operations of a CPU and its options. */
const WORKLOADS: readonly [string, string, number, ProgramOptions][] = [
  ["slab-hot", "pair", 2000, {}],
  ["slab-burst", "burst", 2000, { burst: 300, back: "newest-first" }],
  ["slab-bulk", "bulk", 2000, { bulk: 33 }],
  ["slab-remote", "remote", 2000, { batch: 7 }],
  ["kmalloc-mix", "mix", 2000, { held: 100, remote: 30 }],
  ["slab-churn-caches", "churn", 12, { objects: 40, shrinks: 50 }],
];
const MACHINES: readonly [string, MachineConfig][] = [
  ["2 CPUs", { cpus: 2, seed: 41 }],
  ["8 CPUs that run freely", { cpus: 8, tokens: "free", seed: 42 }],
  ["4 CPUs on 2 nodes", { cpus: 4, nodes: 2, seed: 43 }],
];

describe.each(MACHINES)("on %s", (_name, config) => {
  test.each(WORKLOADS)("%s", async (workload, phase, operations, options) => {
    const result = await runWell(config, workload, { operations, options: { ...options, stamp: true } });
    expect(operationsOf(result, phase)).toEqual(new Array(config.cpus).fill(operations));
  });

  test("slab-one-to-many", async () => {
    const result = await runWell(config, "slab-one-to-many", { operations: 500, options: { stamp: true } });
    const [allocated, ...freed] = operationsOf(result, "pass");
    expect(allocated).toBe(0);
    expect(freed.reduce((sum, count) => sum + count, 0)).toBe(500 * freed.length);
  });
});

test("objects come from the node that is asked for, with the flags that are given", async () => {
  const options = { node: 1, size: 24, flags: "HWCACHE_ALIGN+RECLAIM_ACCOUNT", hardened: true, stamp: true };
  await runWell({ cpus: 4, nodes: 2, seed: 44 }, "slab-remote", { operations: 500, options });
});

test("with too little memory allocations fail, and are counted", async () => {
  const options = { size: 16_384, burst: 2000, stamp: true };
  const result = await runWell({ cpus: 2, memory: "8MiB", seed: 45 }, "slab-burst", {
    operations: 2000,
    options,
  });
  const failed = result.cpuResults.map((cpu) => cpu.value as { metrics: Record<string, { value: number }> });
  expect(failed.reduce((sum, { metrics }) => sum + metrics["failed allocations"].value, 0)).toBeGreaterThan(
    0,
  );
});

test.each<[string, ProgramOptions, string]>([
  [
    "kmalloc-mix",
    { mix: "64:1,16:1" },
    'kmalloc-mix: option mix: "16:1" is not valid; valid are bytes:weight',
  ],
  ["slab-hot", { flags: "HWCACHE_ALIGN+BLUE" }, 'slab-hot: option flags: "BLUE" is not valid; valid are '],
  ["slab-hot", { node: 1 }, "slab-hot: option node: 1 is not valid; valid are -1 to 0"],
])("what is not valid is named: %s, %j", async (workload, options, message) => {
  const { fault } = await runOn({ cpus: 1 }, workload, { operations: 1, options });
  expect(fault?.kind).toBe("usage");
  expect(fault?.message).toContain(message);
});

describe("a planted defect is noticed", () => {
  test.each([
    ["twice", /^cpu 1 was given the object at word \d+, which cpu 1 has$|is no owner's mark$/],
    ["scribble", /^cpu \d frees the object at word \d+: 0x4d is no owner's mark$/],
    ["lost", /^the cache cannot be destroyed: some of its objects are still out$/],
  ])("an object that is %s", async (how, message) => {
    const { fault } = await runOn({ cpus: 2, seed: 46 }, CORRUPTION, { operations: 500, options: { how } });
    expect(fault?.message).toMatch(message);
  });
});
