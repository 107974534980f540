/**
 * Goal: what maps and smaps say of a process holds while other CPUs change it.  Method: two CPUs map, protect and unmap at
 * random from a printed seed, two read; the program looks at each line.
 */

import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { Machine } from "../../../src/machine/machine.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

const PROGRAM = fileURLToPath(new URL("../../support/programs/maps-readers.ts", import.meta.url));

test.each([
  { mode: "parallel", operations: 200 },
  { mode: "virtual", operations: 80 },
] as const)("maps are read while others map and unmap: $mode", async ({ mode, operations }) => {
  const result = await runWell({ cpus: 4, memory: "64MiB", mode, seed: 71 }, PROGRAM, { operations });
  const seen = result.cpuResults.map(({ value }) => value as { lines: number; reads: number });
  for (const cpu of [1, 3]) {
    expect(seen[cpu].reads).toBe(operations);
    // The four fixed mappings at least; by this computer's clock the others may all come later.
    expect(seen[cpu].lines).toBeGreaterThanOrEqual(operations * 4 + (mode === "virtual" ? 1 : 0));
  }
});

test("a module that does not say that it reads reports is told so", async () => {
  const machine = await Machine.boot({ cpus: 1, memory: "64MiB" });
  const program = fileURLToPath(new URL("../../support/programs/reads-proc.ts", import.meta.url));
  const { fault } = await machine.run(program, { operations: 1 });
  expect(fault?.message).toBe('a module that uses kernel.proc exports `needs = ["reports"]`');
  await machine.halt();
});

test("tasks read reports of their own process, their threads and their children", async () => {
  const program = fileURLToPath(new URL("../../support/programs/proc-tasks.ts", import.meta.url));
  const { cpuResults } = await runWell({ cpus: 2, seed: 5 }, program, { operations: 1 });
  const ends = cpuResults.flatMap(
    ({ value }) => (value as { ends: { name: string; status: number }[] }).ends,
  );
  expect(ends.map(({ name, status }) => [name, status]).toSorted()).toEqual([
    ["child", 0],
    ["main", 0],
    ["thread", 0],
  ]);
});
