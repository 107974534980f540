import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const program = (name: string): string =>
  fileURLToPath(new URL(`../support/programs/${name}.ts`, import.meta.url));

afterAll(destroyIdlePools);

interface Counts {
  freed: number;
  reads: number;
  periods: number;
}

async function run(config: object, operations: number, options: Record<string, boolean>) {
  const machine = await Machine.boot({ memory: "16MiB", ...config });
  const result = await machine.run(program("rcu-torture"), { operations, options });
  await machine.halt();
  return result;
}

/** Goal: nothing is used again while a reader may see it.  Method: elements are poisoned when they are. */
describe("RCU", () => {
  test.each([
    { cpus: 2, tokens: "cores" as const, operations: 30_000, seed: 1, options: {} },
    { cpus: 4, tokens: "cores" as const, operations: 10_000, seed: 2, options: { halting: true } },
    { cpus: 4, tokens: "cores" as const, operations: 3_000, seed: 3, options: { longReader: true } },
    { cpus: 8, tokens: "cores" as const, operations: 2_000, seed: 4, options: { synchronize: true } },
    { cpus: 8, tokens: 1, operations: 3_000, seed: 5, options: { halting: true, synchronize: true } },
    { cpus: 4, tokens: "free" as const, operations: 3_000, seed: 6, options: { synchronize: true } },
    { cpus: 32, tokens: "cores" as const, operations: 400, seed: 7, options: { halting: true } },
  ])("$cpus CPUs, tokens $tokens, seed $seed, $options", async ({ operations, options, ...config }) => {
    const { fault, cpuResults } = await run(config, operations, options as Record<string, boolean>);
    expect(fault).toBeNull();
    const counts = cpuResults.map((r) => r.value as Counts);
    const freed = counts.reduce((sum, c) => sum + c.freed, 0);
    expect(freed).toBeGreaterThan(operations / 8);
    expect(counts[0].periods).toBeGreaterThan(0);
  });

  test("a reader that answers interrupts inside its section is waited for", async () => {
    expect((await runInterruptedReader(30, [])).fault).toBeNull();
  });

  test("a grace period that overlooks interrupted readers is found", async () => {
    const { fault } = await runInterruptedReader(10_000, ["rcu-callback-too-early"]);
    expect(fault?.message).toBe("Error: cpu 1: the element was poisoned inside the section");
  });
});

async function runInterruptedReader(holdMs: number, mutants: string[]) {
  const machine = await Machine.boot({ cpus: 2, memory: "16MiB", mutants });
  const result = await machine.run(program("rcu-interrupted-reader"), { operations: 1, options: { holdMs } });
  await machine.halt();
  return result;
}
