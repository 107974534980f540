/**
 * Every scenario, by what support/scenario-tests.ts says; the files scenarios-2 to scenarios-4 have the other parts.
 * The long campaigns are in test/explore-long.
 */

import { expect, test } from "vitest";
import { describeScenarios, scenarioNames } from "../../src/machine/resolve-scenario.ts";
import { testScenarios } from "../support/scenario-tests.ts";

test("every scenario says its own name and what it is about", async () => {
  const scenarios = await describeScenarios();
  expect(scenarios.map((s) => s.name)).toEqual(scenarioNames());
  for (const { summary, mutants } of scenarios) {
    expect(summary.length).toBeGreaterThan(20);
    expect(mutants.length).toBeGreaterThan(0);
  }
});

await testScenarios(0);
