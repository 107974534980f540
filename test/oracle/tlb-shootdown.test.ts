/**
 * Interrupts that a system call costs a CPU which runs a thread of the same process: those that a real kernel sends, in
 * kernel-tables.md, against those that the simulated CPUs take.
 */

import { afterAll, describe, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { recordedTable } from "../support/kernel-tables.ts";
import { metricOf, runWell } from "../support/run-workload.ts";

afterAll(destroyIdlePools);

const [head, ...rows] = recordedTable("TLB shootdown interrupts received by a peer CPU");

test("the recording names four operations", () => {
  expect(head).toEqual(["operation", "IPIs"]);
  expect(rows.length).toBe(4);
});

describe.each<[string, MachineConfig]>([
  ["2 CPUs", { cpus: 2 }],
  ["4 CPUs, simulated time", { cpus: 4, mode: "virtual" }],
])("on %s", (_name, config) => {
  test("every operation sends as many as recorded", async () => {
    const machine: MachineConfig = { memory: "16MiB", seed: 91, checks: false, ...config };
    const result = await runWell(machine, "tlb_ipis", { operations: 40 });
    const counted = rows.map(([operation]) => [operation, String(metricOf(result, operation))]);
    expect(counted).toEqual(rows);
  });
});
