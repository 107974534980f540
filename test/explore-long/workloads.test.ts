/** Every workload that can be explored: 300 clean executions, each of them twice; and its mutants are found. */

import { afterEach, describe, expect, test } from "vitest";
import { explore } from "../../src/machine/explore.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { exploredWorkloads, resolveScenario } from "../../src/machine/resolve-scenario.ts";

const EXECUTIONS = 300;
const all = await Promise.all((await exploredWorkloads()).map(resolveScenario));
const mutants = all.flatMap(({ name, description }) => description.mutants.map((m) => [m, name] as const));

afterEach(destroyIdlePools);

describe.each(all.map(({ name }) => name))("%s", (workload) => {
  test("is clean, and depends on its schedule alone", async () => {
    const result = await explore(workload, { executions: EXECUTIONS, audit: true, seed: 31 });
    expect(result.failure?.message).toBeUndefined();
    expect(result.executions).toBe(EXECUTIONS);
  });
});

test.each(mutants)("%s is found by %s", async (mutant, workload) => {
  const { failure } = await explore(workload, { executions: EXECUTIONS, mutants: [mutant], shrink: false });
  expect(failure).not.toBeNull();
});
