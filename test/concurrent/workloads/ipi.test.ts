/** The workloads that send interrupts: every call is made, and percentiles are what they say. */

import { afterAll, describe, expect, test } from "vitest";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { metricOf, operationsOf, runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

describe.each([2, 8])("on %i CPUs", (cpus) => {
  test.each([
    ["ipi-ping", "running", "call", "round trip"],
    ["ipi-ping", "halted", "call", "round trip"],
    ["ipi-broadcast", "running", "broadcast", "broadcast"],
    ["ipi-broadcast", "halted", "broadcast", "broadcast"],
  ])("%s to %s CPUs", async (workload, targets, phase, metric) => {
    const result = await runWell({ cpus }, workload, { operations: 300, options: { targets } });
    expect(operationsOf(result, phase)).toEqual([300, ...new Array(cpus - 1).fill(0)]);
    const [p50, p90, p99] = ["p50", "p90", "p99"].map((p) => metricOf(result, `${metric} ${p}`));
    expect(p50).toBeGreaterThan(0);
    expect(p90).toBeGreaterThanOrEqual(p50);
    expect(p99).toBeGreaterThanOrEqual(p90);
    expect(result.interrupts.CAL).toBeGreaterThan(0);
  });
});

test("one machine runs them one after the other", async () => {
  const { Machine } = await import("../../../src/machine/machine.ts");
  const machine = await Machine.boot({ cpus: 2, memory: "16MiB" });
  for (const workload of ["ipi-ping", "ipi-broadcast", "ipi-ping"]) {
    expect((await machine.run(workload, { operations: 20 })).fault).toBe(null);
  }
  await machine.halt();
});
