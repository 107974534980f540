import { afterAll, describe, expect, test } from "vitest";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { operationsOf, runWell } from "../../support/run-workload.ts";

afterAll(destroyIdlePools);

describe.each([2, 8])("on %i CPUs", (cpus) => {
  test.each(["percpu", "this-cpu", "array", "atomic"])("%s counts everything", async (form) => {
    const result = await runWell({ cpus }, "percpu-counter", { operations: 4000, options: { form } });
    expect(operationsOf(result, "add")).toEqual(new Array(cpus).fill(4000));
  });
});

test("a batch of one folds every addition", async () => {
  const options = { form: "percpu", batch: 1 };
  const result = await runWell({ cpus: 2 }, "percpu-counter", { operations: 800, options });
  const folds = result.locks.find((lock) => lock.name === "&fbc->lock")?.acquisitions;
  expect(folds).toBeGreaterThanOrEqual(1600);
});
