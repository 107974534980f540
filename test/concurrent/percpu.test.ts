import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const churn = fileURLToPath(new URL("../support/programs/percpu-churn.ts", import.meta.url));

afterAll(destroyIdlePools);

/** Goal: pieces never overlap, counters lose nothing.  Method: stamps on every CPU; sums at rest. */
describe("per-CPU memory and counters", () => {
  test.each([
    { cpus: 2, tokens: "cores" as const, operations: 30_000, seed: 1 },
    { cpus: 8, tokens: "cores" as const, operations: 5_000, seed: 2 },
    { cpus: 4, tokens: "free" as const, operations: 5_000, seed: 3 },
    { cpus: 32, tokens: "cores" as const, operations: 100, seed: 4 },
  ])("$cpus CPUs, tokens $tokens, seed $seed", async ({ operations, ...config }) => {
    const machine = await Machine.boot({ ...config, memory: "32MiB" });
    const { fault } = await machine.run(churn, { operations });
    await machine.halt();
    expect(fault).toBeNull();
  });
});

/** Goal: chunks, pages and pieces depend on the seed alone.  Method: the same run twice, all of RAM compared. */
test("in simulated time a run of percpu-churn repeats to the last bit", async () => {
  const once = async (): Promise<string> => {
    const machine = await Machine.boot({ cpus: 4, nodes: 2, memory: "16MiB", mode: "virtual", seed: 5 });
    const { fault } = await machine.run("percpu-churn", { operations: 150 });
    expect(fault?.message ?? "none").toBe("none");
    const digest = machine.digest();
    const { report } = await machine.check();
    expect(report?.passed).toContain("per-CPU memory");
    await machine.halt();
    return digest;
  };
  expect(await once()).toBe(await once());
});
