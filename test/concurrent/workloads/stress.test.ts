/** Stress of locks, interrupts and per-CPU memory: sound kernels pass, a planted defect is noticed. */

import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { describeProgram, resolveProgram, workloadNames } from "../../../src/machine/resolve-program.ts";
import { operationsOf, runOn, runWell } from "../../support/run-workload.ts";

const CORRUPTION = join(import.meta.dirname, "../../support/programs/stress-corruption.ts");
const WORKLOADS = [
  "lock-stress",
  "ipi-stress",
  "percpu-stress",
  "percpu-churn",
  "tlb-stress",
  "mm-stress",
  "map-read-stress",
  "file-stress",
];

afterAll(destroyIdlePools);

test("these are the stress workloads, with those for pages and address spaces", async () => {
  const stressing: string[] = [];
  for (const name of workloadNames()) {
    if ((await describeProgram(resolveProgram(name)))?.stress) stressing.push(name);
  }
  // Those of tasks count what they have switched: test/concurrent/tasks.test.ts has them.
  expect(stressing.toSorted()).toEqual([...WORKLOADS, "page-stress", "task-stress"].toSorted());
});

describe.each(WORKLOADS)("%s", (workload) => {
  test.each([
    [2, "cores", 1],
    [8, "cores", 2],
    [8, "free", 3],
  ] as const)("on %i CPUs, tokens %s", async (cpus, tokens, seed) => {
    const result = await runWell({ cpus, tokens, seed }, workload, { operations: 500 });
    expect(operationsOf(result, workload === "percpu-churn" ? "churn" : "stress")).toEqual(
      new Array(cpus).fill(500),
    );
  });
});

test.each(["tas", "ticket", "queued"])("lock-stress over %s spinlocks", async (lock) => {
  await runWell({ cpus: 4, lock, seed: 4 }, "lock-stress", { operations: 300 });
});

describe("a planted defect is noticed", () => {
  test.each([
    ["lost-call", /^calls were sent with arguments of \d+ in sum, and received with \d+$/],
    ["unlocked", /(two CPUs are|a reader is) in the section|updates arrived, \d+ were made/],
    ["overlap", /^per-CPU piece \d+ of \d+ words: cpu \d has 0x[0-9a-f]+ in word \d+, expected/],
    ["leak", /^\d+ pieces of per-CPU memory are out after the run, \d+ were before it$/],
  ])("%s", async (how, message) => {
    const config = { cpus: 2, checks: false };
    const { fault } = await runOn(config, CORRUPTION, { operations: 20_000, options: { how } });
    expect(fault?.message).toMatch(message);
  });
});
