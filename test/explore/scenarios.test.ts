/**
 * Every scenario: clean as it is, with its places executed; broken by each of its mutants, soon, and replayable.
 * The long campaigns are in test/explore-long.
 */

import { afterEach, describe, expect, test } from "vitest";
import { explore, replay } from "../../src/machine/explore.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { describeScenarios, scenarioNames } from "../../src/machine/resolve-scenario.ts";

const EXECUTIONS = 2000;
const scenarios = await describeScenarios();

// Each set of mutants is a pool of threads of its own.
afterEach(destroyIdlePools);

test("every scenario says its own name and what it is about", () => {
  expect(scenarios.map((s) => s.name)).toEqual(scenarioNames());
  for (const { summary, mutants } of scenarios) {
    expect(summary.length).toBeGreaterThan(20);
    expect(mutants.length).toBeGreaterThan(0);
  }
});

describe.each(scenarios)("$name", ({ name, mutants }) => {
  test("is clean, and reaches the places that its mutants break", async () => {
    const result = await explore(name, { executions: EXECUTIONS });
    expect(result.failure?.message).toBeUndefined();
    expect(result.fault).toBeNull();
    expect(result.executions).toBe(EXECUTIONS);
    expect(result.reached).toEqual(expect.arrayContaining([...mutants]));
  });

  test("depends on its schedule alone", async () => {
    const result = await explore(name, { executions: 50, audit: true, seed: 9 });
    expect(result.failure?.message).toBeUndefined();
    expect(result.executions).toBe(50);
  });

  test.each(mutants)("%s is found, and its failure repeats", async (mutant) => {
    const { failure, executions } = await explore(name, { executions: EXECUTIONS, mutants: [mutant] });
    if (failure === null) throw new Error(`not found in ${executions} executions`);
    expect(failure.untraced).toBe("");
    expect(failure.rows.length).toBeGreaterThan(0);
    expect(failure.title).toMatch(/ in \S/);
    const again = await replay(failure.schedule, { times: 10, report: false });
    expect(again.verdict).toBe("reproduced 10 times of 10");
  });
});
