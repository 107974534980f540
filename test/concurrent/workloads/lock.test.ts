/** The lock workload: no update is lost under any kind of lock, and a lock that does not lock is noticed. */

import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { SECTION_KINDS } from "../../../src/workloads/parts/section.ts";
import { operationsOf, runOn, runWell } from "../../support/run-workload.ts";

const NO_LOCK = join(import.meta.dirname, "../../support/programs/no-lock.ts");
const SHORT = { hold: 100, think: 200 };

afterAll(destroyIdlePools);

describe.each([2, 8])("on %i CPUs", (cpus) => {
  test.each(SECTION_KINDS)("%s counts every section", async (kind) => {
    const result = await runWell({ cpus }, "lock", { operations: 400, options: { ...SHORT, kind } });
    expect(operationsOf(result, "sections")).toEqual(new Array(cpus).fill(400));
    const updates = result.cpuResults.map((cpu) => (cpu.value as { updates: number }).updates);
    expect(updates).toEqual(new Array(cpus).fill(400));
  });

  test.each(SECTION_KINDS)("%s with readers", async (kind) => {
    const options = { ...SHORT, kind, reads: 0.8 };
    const result = await runWell({ cpus }, "lock", { operations: 400, options });
    const updates = result.cpuResults.reduce((sum, c) => sum + (c.value as { updates: number }).updates, 0);
    expect(updates / (400 * cpus)).toBeGreaterThan(0.1);
    expect(updates / (400 * cpus)).toBeLessThan(0.3);
  });
});

test.each(["tas", "ticket", "queued", "pv"])("the spinlock is the machine's: %s", async (lock) => {
  await runWell({ cpus: 4, lock }, "lock", { operations: 300, options: SHORT });
});

test("time inside and outside is what was asked for", async () => {
  const result = await runWell({ cpus: 1 }, "lock", {
    operations: 5000,
    options: { hold: 3000, think: 7000 },
  });
  const [{ phases }] = result.cpuResults;
  const nsPerSection = phases[0].elapsedNs / phases[0].operations;
  // Other processes may take the core away; nothing makes a section shorter.
  expect(nsPerSection).toBeGreaterThan(9000);
});

test("a lock from a file that does not lock is noticed", async () => {
  const config = { cpus: 2, lock: NO_LOCK, checks: false };
  const { fault } = await runOn(config, "lock", { operations: 200_000, options: { hold: 200, think: 0 } });
  expect(fault?.message).toMatch(/two CPUs are in the section|updates arrived|does not hold/);
});
