/**
 * Tests of scenarios: clean as they are, with their places executed; broken by each of their mutants, soon, and replayable.
 * Each of several files has a part of them, so that files that run side by side share the work.
 */

import { afterAll, afterEach, describe, expect, test } from "vitest";
import { explore, replay } from "../../src/machine/explore.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { describeScenarios } from "../../src/machine/resolve-scenario.ts";

const EXECUTIONS = 2000;
export const PARTS = 4;

/** The tests of every fourth scenario, from `first` on. */
export async function testScenarios(first: number): Promise<void> {
  const all = await describeScenarios();
  // Those of as many CPUs come together: they run on the same threads.
  const scenarios = all.filter((_, i) => i % PARTS === first).toSorted((a, b) => a.cpus - b.cpus);

  describe("as it is", () => {
    afterAll(destroyIdlePools);

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
    });
  });

  describe("broken", () => {
    // Each set of mutants is a pool of threads of its own.
    afterEach(destroyIdlePools);

    describe.each(scenarios)("$name", ({ name, mutants }) => {
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
  });
}
