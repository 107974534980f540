/** The examples do what they say: run as a user would, from their own files. */

import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { operationsOf, runWell } from "../support/run-workload.ts";

const example = (name: string): string =>
  fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url));

afterAll(destroyIdlePools);

test("first-experiment counts pages on every CPU", async () => {
  const result = await runWell({ cpus: 2 }, example("first-experiment"), { operations: 2000 });
  const pairs = operationsOf(result, "pages");
  expect(pairs).toHaveLength(2);
  expect(Math.min(...pairs)).toBeGreaterThan(0);
});

test.each([2, 8])("my-lock locks on %i CPUs, and its waits are counted", async (cpus) => {
  const config = { cpus, lock: example("my-lock") };
  const result = await runWell(config, "lock", { operations: 2000, options: { hold: 300, think: 300 } });
  expect(operationsOf(result, "sections")).toEqual(new Array(cpus).fill(2000));
  const statistics = result.locks.find((lock) => lock.name === "test_a");
  expect(statistics?.acquisitions).toBe(2000 * cpus);
});

test("my-lock carries the whole kernel", async () => {
  await runWell({ cpus: 4, lock: example("my-lock") }, "page-stress", { operations: 500 });
});
