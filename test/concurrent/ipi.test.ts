import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const storm = fileURLToPath(new URL("../support/programs/ipi-storm.ts", import.meta.url));

afterAll(destroyIdlePools);

/** Goal: each call runs exactly once, on its target.  Method: all call all at random; targets count callers. */
describe("calls on other CPUs", () => {
  test.each([
    { cpus: 2, tokens: "cores" as const, operations: 20_000, seed: 1 },
    { cpus: 8, tokens: "cores" as const, operations: 2_000, seed: 2 },
    { cpus: 8, tokens: 1, operations: 1_000, seed: 3 },
    { cpus: 4, tokens: "free" as const, operations: 500, seed: 4 },
    { cpus: 32, tokens: "cores" as const, operations: 40, seed: 5 },
  ])("$cpus CPUs, tokens $tokens, seed $seed", async ({ operations, seed, ...config }) => {
    const machine = await Machine.boot({ ...config, memory: "16MiB", seed });
    const result = await machine.run(storm, { operations });
    await machine.halt();
    expect(result.fault).toBeNull();
    const all = result.cpuResults.flatMap((r) => r.value as number[]);
    expect(all.reduce((a, b) => a + b)).toBeGreaterThan(operations * config.cpus);
  });
});
