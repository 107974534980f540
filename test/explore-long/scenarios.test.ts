/** Every scenario at length: 20,000 clean executions a strategy, and each mutant found by each, 100 replays of 100. */

import { afterEach, describe, expect, test } from "vitest";
import { type ExploreStrategy, explore, replay } from "../../src/machine/explore.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { describeScenarios } from "../../src/machine/resolve-scenario.ts";

const HEALTHY_EXECUTIONS = 20_000;
const MUTANT_EXECUTIONS = 2000;
const scenarios = await describeScenarios();
const strategies: readonly ExploreStrategy[] = ["random", "pct"];
const both = scenarios.flatMap((scenario) => strategies.map((strategy) => ({ ...scenario, strategy })));

afterEach(destroyIdlePools);

describe.each(both)("$name, $strategy", ({ name, strategy, mutants }) => {
  test(`stays clean for ${HEALTHY_EXECUTIONS} executions`, async () => {
    const result = await explore(name, { strategy, executions: HEALTHY_EXECUTIONS });
    expect(result.failure?.message).toBeUndefined();
    expect(result.executions).toBe(HEALTHY_EXECUTIONS);
    expect(result.reached).toEqual(expect.arrayContaining([...mutants]));
  });

  test.each(mutants)(`%s is found within ${MUTANT_EXECUTIONS} executions`, async (mutant) => {
    for (const seed of [1, 2, 3]) {
      const options = { strategy, seed, executions: MUTANT_EXECUTIONS, mutants: [mutant], report: false };
      const { failure } = await explore(name, options);
      if (failure === null) throw new Error(`seed ${seed}: not found in ${MUTANT_EXECUTIONS} executions`);
      const again = await replay(failure.schedule, { times: 100, report: false });
      expect(again.verdict).toBe("reproduced 100 times of 100");
    }
  });
});
