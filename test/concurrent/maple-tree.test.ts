/** Look-ups in a maple tree under real threads, while others store. */
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const program = fileURLToPath(new URL("../support/programs/maple-lookups.ts", import.meta.url));

afterAll(destroyIdlePools);

test.each([
  { cpus: 2, mode: "parallel" as const, operations: 4000, seed: 1 },
  { cpus: 6, mode: "parallel" as const, operations: 800, seed: 2 },
  { cpus: 4, mode: "parallel" as const, tokens: "free" as const, operations: 500, seed: 3 },
  { cpus: 8, mode: "virtual" as const, operations: 80, seed: 4 },
])("$cpus CPUs, $mode, seed $seed", async ({ operations, ...config }) => {
  const machine = await Machine.boot({ memory: "16MiB", ...config });
  const { fault } = await machine.run(program, { operations });
  await machine.halt();
  expect(fault).toBeNull();
});
