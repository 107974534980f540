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
  ["5 CPUs with broadcasts", { cpus: 5, shootdown: "broadcast", seed: 92 }, 300],
  [
    "6 CPUs with broadcasts that run freely",
    { cpus: 6, shootdown: "broadcast", tokens: "free", seed: 93 },
    200,
  ],
  [
    "5 CPUs with broadcasts, simulated time",
    { cpus: 5, shootdown: "broadcast", mode: "virtual", seed: 94 },
    150,
  ],
  ["3 CPUs with five levels of tables", { cpus: 3, pageLevels: 5, seed: 97 }, 500],
  ["3 CPUs, each page flushed alone", { cpus: 3, tlbBatching: false, seed: 95 }, 300],
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

/** Variants, in simulated time: each changes what it is about, and by how much is known. */
test("34 pages cost 34 interrupts without batches, and hardly any with broadcasts", async () => {
  const count = async (config: MachineConfig): Promise<number[]> => {
    const machine: MachineConfig = { cpus: 4, memory: "16MiB", mode: "virtual", seed: 96, ...config };
    const result = await runWell(machine, "tlb_ipis", { operations: 10 });
    return ["madvise(DONTNEED) of 34 present pages", "mmap, touch, munmap"].map((name) =>
      metricOf(result, name),
    );
  };
  expect(await count({})).toEqual([1, 1]);
  expect(await count({ tlbBatching: false })).toEqual([34, 1]);
  // The first flush of all gives the address space its number, the second one of ten interrupts who does not use it yet.
  expect(await count({ shootdown: "broadcast" })).toEqual([0.1, 0]);
});
