import { afterAll, expect, test } from "vitest";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { operationsOf, runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

test.each([2, 8])("every pair of %i CPUs is measured, from both sides alike", async (cpus) => {
  const options = { trips: 20, batches: 5 };
  const result = await runWell({ cpus }, "core-latency", { operations: 1, options });
  const matrix = result.cpuResults.map((cpu) => (cpu.value as { latencyNs: number[] }).latencyNs);
  for (let a = 0; a < cpus; a++) {
    expect(matrix[a]).toHaveLength(cpus);
    for (let b = 0; b < cpus; b++) {
      if (a === b) expect(matrix[a][b]).toBe(0);
      else expect(matrix[a][b]).toBeGreaterThan(1);
    }
  }
  expect(operationsOf(result, "ping-pong")).toEqual(new Array(cpus).fill((cpus - 1) * 20 * 6));
});
