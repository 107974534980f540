/** The vmalloc workload: every case does its calls and leaves nothing; planted defects are noticed. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { describe as workload } from "../../../src/workloads/vmalloc-mix.ts";
import { metricOf, operationsOf, runOn, runWell } from "../../support/run-workload.ts";

const CORRUPTION = join(import.meta.dirname, "../../support/programs/vmalloc-corruption.ts");

afterAll(destroyIdlePools);

test.each<[string, MachineConfig, number]>([
  ["2 CPUs", { cpus: 2, seed: 61 }, 20],
  ["8 CPUs that run freely", { cpus: 8, tokens: "free", seed: 62 }, 3],
  ["4 CPUs on 2 nodes", { cpus: 4, nodes: 2, seed: 63 }, 5],
  ["simulated time", { cpus: 4, mode: "virtual", seed: 64 }, 5],
])("all cases on %s", async (_name, config, loops) => {
  const result = await runWell(config, "vmalloc-mix", {
    operations: 1,
    options: { loops, kept: 10, lazy: 100, stamp: true },
  });
  for (const phase of workload.phases) {
    expect(operationsOf(result, phase)).toEqual(new Array(config.cpus).fill(loops));
  }
  expect(metricOf(result, "failed allocations")).toBe(0);
});

test("one case alone, and with too little memory allocations fail and are counted", async () => {
  const one = { case: "random_size_alloc", loops: 20, stamp: true };
  const few = await runWell({ cpus: 2, memory: "2MiB", seed: 65 }, "vmalloc-mix", {
    operations: 1,
    options: one,
  });
  expect(operationsOf(few, "random_size_alloc")).toEqual([20, 20]);
  expect(operationsOf(few, "fix_size_alloc")).toEqual([0, 0]);
  // More than the machine has, for one CPU alone: they need not meet.
  const full = { case: "long_busy_list_alloc", loops: 5, kept: 1200, stamp: true };
  const result = await runWell({ cpus: 2, memory: "4MiB", seed: 66 }, "vmalloc-mix", {
    operations: 1,
    options: full,
  });
  expect(metricOf(result, "failed allocations")).toBeGreaterThan(0);
});

test.each([
  ["stamp", /^cpu 0: page 1 of 2 at -\d+ holds \d+ and -?\d+: it is not its own$/],
  ["leak", /^\d+ areas are busy and 0 lazy after the run, \d+ were busy before it$/],
])("a planted defect is noticed: %s", async (how, message) => {
  const { fault } = await runOn({ cpus: 1, seed: 67 }, CORRUPTION, { operations: 1, options: { how } });
  expect(fault?.message).toMatch(message);
});
