/** Several CPUs in one address space: what they read fits the map, and shootdowns are counted exactly. */

import { afterAll, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { metricOf, runOn, runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

test.each<[string, MachineConfig, number]>([
  ["2 CPUs", { cpus: 2, seed: 71 }, 3000],
  ["6 CPUs that run freely", { cpus: 6, tokens: "free", seed: 72 }, 200],
  ["4 CPUs, simulated time", { cpus: 4, mode: "virtual", seed: 73 }, 150],
  ["3 CPUs without PCID", { cpus: 3, pcid: false, seed: 74 }, 500],
  ["3 CPUs without lazy TLB", { cpus: 3, lazyTlb: false, seed: 75 }, 500],
  ["3 CPUs on the short way, which has no checks", { cpus: 3, checks: false, seed: 79 }, 2000],
  ["3 CPUs that stay in the mask", { cpus: 3, lazyCpumask: true, seed: 76 }, 500],
])("pages come and go on %s", async (_name, config, operations) => {
  await runWell({ memory: "16MiB", ...config }, "tlb-stress", { operations });
});

test.each<[string, MachineConfig]>([
  ["2 CPUs", { cpus: 2 }],
  ["5 CPUs", { cpus: 5 }],
  ["6 CPUs, simulated time", { cpus: 6, mode: "virtual" }],
])("a flush reaches each CPU once: %s", async (_name, config) => {
  const result = await runWell({ memory: "16MiB", seed: 77, ...config }, "shootdown", { operations: 100 });
  expect(metricOf(result, "flushes")).toBe(100);
  expect(metricOf(result, "round trip p50")).toBeGreaterThan(0);
});

test.each(["shootdown-free-before-flush", "switch-mm-no-generation"])(
  "%s is noticed by the stress, too",
  async (mutant) => {
    const config = { cpus: 3, memory: "16MiB", mutants: [mutant], seed: 78, mode: "virtual" } as const;
    const { fault } = await runOn(config, "tlb-stress", { operations: 2000, options: { pages: 8 } });
    // The CPU that finds it leaves others waiting for its answer, and one of these may be heard first.
    expect(fault?.message).toMatch(/stale TLB entry|holds|free|deadlock/);
  },
);
