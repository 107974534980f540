/** The page workloads: every CPU does its share, everything comes back, and the kernel is sound afterwards. */

import { afterAll, describe, expect, test } from "vitest";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { metricOf, operationsOf, runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

describe.each([2, 8])("on %i CPUs", (cpus) => {
  test.each([0, 3, 9])("page-bulk of order %i", async (order) => {
    const result = await runWell({ cpus }, "page-bulk", {
      operations: 200,
      options: { order, fraction: 0.4 },
    });
    const allocated = operationsOf(result, "alloc");
    expect(allocated).toEqual(operationsOf(result, "free"));
    expect(Math.min(...allocated)).toBeGreaterThan(0);
  });

  test.each([0, 10])("page-repeat of order %i", async (order) => {
    const result = await runWell({ cpus }, "page-repeat", {
      operations: 2000,
      options: { order, fraction: 0.4 },
    });
    expect(operationsOf(result, "pair")).toEqual(new Array(cpus).fill(2000));
  });

  test.each([0, 2])("page-rand of order %i", async (order) => {
    const result = await runWell({ cpus }, "page-rand", {
      operations: 400,
      options: { order, fraction: 0.4 },
    });
    const freed = operationsOf(result, "free").reduce((a, b) => a + b, 0);
    expect(freed).toBe(operationsOf(result, "alloc").reduce((a, b) => a + b, 0));
  });
});

test("page-bulk takes half of the memory, and says so when it cannot have it", async () => {
  const result = await runWell({ cpus: 2 }, "page-bulk", {
    operations: 1,
    options: { fraction: 1.2, order: 10 },
  });
  expect(
    metricOf(result, "failed allocations", 0) + metricOf(result, "failed allocations", 1),
  ).toBeGreaterThan(0);
  const half = await runWell({ cpus: 2 }, "page-bulk", { operations: 1 });
  const taken = operationsOf(half, "alloc").reduce((a, b) => a + b, 0);
  expect(taken / ((64 << 20) / 4096)).toBeGreaterThan(0.4);
  expect(taken / ((64 << 20) / 4096)).toBeLessThan(0.5);
});

test("without page lists every block comes from the zone", async () => {
  const config = { cpus: 2, pageLists: "off" } as const;
  const result = await runWell(config, "page-repeat", { operations: 2000 });
  expect(operationsOf(result, "pair")).toEqual([2000, 2000]);
});
