/** Page faults, mappings and their shootdowns by CPUs of one address space and of several: values, counts, nothing left. */

import { afterAll, describe, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import type { RunResult } from "../../../src/machine/program.ts";
import type { VmaLockKind } from "../../../src/memory/shape.ts";
import { metricOf, operationsOf, runOn, runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

const MACHINES: readonly [string, number, MachineConfig, number][] = [
  ["2 CPUs", 0, { cpus: 2, seed: 81 }, 10],
  ["5 CPUs that run freely", 1, { cpus: 5, tokens: "free", seed: 82 }, 2],
  ["4 CPUs, simulated time", 0, { cpus: 4, mode: "virtual", seed: 83 }, 2],
];
const PAGES = 12;
const MODES = ["thread", "process"] as const;
const WORKLOADS = [
  "page_fault1",
  "page_fault2",
  "page_fault3",
  "mmap1",
  "mmap2",
  "brk1",
  "brk2",
  "malloc1",
  "malloc2",
  "malloc-mix",
  "fork1",
  "tlb_flush",
  "tlb_flush1",
  "tlb_flush2",
  "tlb_flush3",
];

/** What keeps a run of each short. */
function optionsOf(workload: string): Record<string, number> {
  if (workload === "malloc1") return { size: 3 * 2 ** 20 };
  if (workload.startsWith("malloc")) return {};
  return { pages: PAGES };
}

describe.each(MACHINES)("%s", (_name, machine, config, rounds) => {
  // Each in the two modes, and each on every machine in one of them.
  test.each(WORKLOADS.map((workload, i) => [workload, MODES[(i + machine) % 2]] as const))(
    "%s, mode %s",
    async (workload, mode) => {
      const verifies = /page_fault|brk|tlb_flush$|fork/.test(workload);
      await runWell({ memory: "32MiB", ...config }, workload, {
        operations: /fork|tlb_flush$|brk/.test(workload) ? rounds : rounds * PAGES,
        options: { mode, ...optionsOf(workload), ...(verifies ? { verify: true } : {}) },
      });
    },
  );

  test("cow-storm", async () => {
    const options = { pages: PAGES, threads: 2 };
    await runWell({ memory: "16MiB", ...config }, "cow-storm", { operations: rounds * PAGES, options });
  });

  test("spawn", async () => {
    const options = { pages: 4, writes: 2 };
    const result = await runWell({ memory: "32MiB", ...config }, "spawn", { operations: rounds, options });
    expect(operationsOf(result, "spawn")).toEqual(new Array(config.cpus).fill(rounds));
  });

  test("mprotect", async () => {
    const result = await runWell({ memory: "16MiB", ...config }, "mprotect", { operations: 10 });
    // Taking the right away and giving it back, each of them to all other CPUs.
    expect(metricOf(result, "shootdowns an operation")).toBe(2);
    expect(metricOf(result, "targets a shootdown")).toBe(config.cpus! - 1);
  });

  test.each(["local", "pipeline", "global"])("mapbench, pattern %s", async (pattern) => {
    const options = { pattern, pages: PAGES, verify: true };
    const result = await runWell({ memory: "16MiB", ...config }, "mapbench", {
      operations: rounds * PAGES,
      options,
    });
    expect(operationsOf(result, "map")).toEqual(new Array(config.cpus).fill(rounds * PAGES));
    // All CPUs have the address space loaded, so each unmapping reaches each of the others.
    expect(metricOf(result, "shootdowns")).toBe(config.cpus! * rounds);
    expect(metricOf(result, "targets a shootdown")).toBe(config.cpus! - 1);
    if (config.mode !== "virtual") return;
    const clockGHz = 2.2; // of the profile that machines have by default
    const timeNs = metricOf(result, "time of its call a shootdown");
    expect(metricOf(result, "cycles of its call a shootdown")).toBeCloseTo(timeNs * clockGHz, 3);
  });
});

test.each([
  ["3 CPUs", { cpus: 3, seed: 91 }],
  ["4 CPUs that run freely", { cpus: 4, tokens: "free", seed: 92 }],
  ["4 CPUs, simulated time", { cpus: 4, mode: "virtual", seed: 93 }],
] as const)("with counted readers of VMAs: %s", async (_name, machine) => {
  const config: MachineConfig = { memory: "16MiB", vmaLock: "6.18", ...machine };
  await runWell(config, "page_fault1", { operations: 60, options: { pages: 12, verify: true } });
  await runWell(config, "mm-stress", { operations: 300 });
});

test("without locks of VMAs faults and changes of the address space shut each other out", async () => {
  const config: MachineConfig = { cpus: 3, memory: "16MiB", vmaLock: "off", seed: 84 };
  await runWell(config, "page_fault1", { operations: 60, options: { pages: 12, verify: true } });
  await runWell(config, "mm-stress", { operations: 500 });
});

describe("shootdowns are counted exactly", () => {
  const flush = (mode: string, cpus: number): Promise<RunResult> =>
    runWell({ cpus, memory: "16MiB", seed: 85 }, "tlb_flush", { operations: 40, options: { mode } });

  test("each one of a thread reaches all others", async () => {
    const result = await flush("thread", 3);
    expect(metricOf(result, "shootdowns")).toBe(120);
    expect(metricOf(result, "shootdowns an operation")).toBe(1);
    expect(metricOf(result, "targets a shootdown")).toBe(2);
    expect(metricOf(result, "time of its call a shootdown")).toBeGreaterThan(0);
  });

  test("processes of their own need none", async () => {
    expect(metricOf(await flush("process", 3), "shootdowns")).toBe(0);
  });
});

test("with locks of VMAs CPUs that fault in one address space hardly take mmap_lock", async () => {
  const taken = async (vmaLock: VmaLockKind): Promise<number> => {
    const config: MachineConfig = { cpus: 2, memory: "16MiB", mode: "virtual", seed: 86, vmaLock };
    const options = { pattern: "local", pages: 64 };
    const { locks } = await runWell(config, "mapbench", { operations: 64, options });
    return locks.find(({ name }) => name === "&mm->mmap_lock")!.acquisitions;
  };
  // A region of each CPU: to map, to unmap, the first fault; and then each fault, or none.
  expect(await taken("6.12")).toBe(2 * 3);
  expect(await taken("6.18")).toBe(2 * 3);
  expect(await taken("off")).toBe(2 * (2 + 64));
});

test.each<[string, string, number, Record<string, string | number | boolean>]>([
  ["anon-fault-no-recheck", "mapbench", 200, { pattern: "global", pages: 4, verify: true }],
  ["cow-no-recheck", "cow-storm", 80, { pages: 4 }],
  ["cow-no-flush", "cow-storm", 80, { pages: 4 }],
  ["cow-reuse-shared", "cow-storm", 80, { pages: 4 }],
  ["fork-flush-skipped", "cow-storm", 80, { pages: 4 }],
  ["shootdown-free-before-flush", "map-read-stress", 400, { pages: 3 }],
])("%s is noticed by %s", async (mutant, workload, operations, options) => {
  const config: MachineConfig = { cpus: 4, mode: "virtual", memory: "16MiB", seed: 87, mutants: [mutant] };
  const { fault } = await runOn(config, workload, { operations, options });
  // The CPU that finds it leaves others waiting for its answer, and one of these may be heard first.
  expect(fault?.message).toMatch(/ ha[ds] |holds|reads|writes|P[2-5]|pages are free|unmapped|stale|deadlock/);
});

test("a region that does not fit the memory is refused with the pages that do", async () => {
  const { fault } = await runOn({ cpus: 2, memory: "16MiB" }, "page_fault1", {
    operations: 1,
    options: { pages: 4000 },
  });
  expect(fault?.kind).toBe("usage");
  expect(fault?.message).toMatch(
    /^page_fault1: option pages: 4000 is not valid on 2 CPUs with this memory; valid are 1 to \d+$/,
  );
});
