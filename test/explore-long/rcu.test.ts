/** Callbacks of sleeping CPUs: a softirq that nobody runs shows in one of some thousand schedules only. */
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

afterAll(destroyIdlePools);

test.each([1, 2, 3])(
  "rcu_barrier on three CPUs returns under every schedule tried, seed %d",
  async (seed) => {
    const machine = await Machine.boot({ cpus: 3, mode: "explore", memory: "1MiB", checks: true, seed });
    const path = fileURLToPath(new URL("../support/programs/rcu-sections.ts", import.meta.url));
    const plan = { executions: 8000, seed, stepLimit: 100_000, hashes: false, audit: false };
    const task = { strategy: "random" as const, depth: 3, plan, tape: new Int32Array(0), logFrom: Infinity };
    const result = await machine.explore(path, task, { options: { sections: 2, calls: true } });
    await machine.halt();
    expect(result.fault).toBeNull();
    expect(result.failure, result.failure?.fault.message).toBeNull();
  },
);
