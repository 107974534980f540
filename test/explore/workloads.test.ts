/** Workloads under controlled schedules: clean and repeatable as they are; some find a defect that is switched on. */

import { afterEach, expect, test } from "vitest";
import { explore, replay } from "../../src/machine/explore.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { exploredWorkloads } from "../../src/machine/resolve-scenario.ts";

const SAMPLE = ["page_fault2", "brk2", "fork1", "mprotect", "map-read-stress"];

afterEach(destroyIdlePools);

test.each(SAMPLE)("%s is clean, and depends on its schedule alone", async (workload) => {
  expect(await exploredWorkloads()).toContain(workload);
  const result = await explore(workload, { executions: 6, audit: true, seed: 21 });
  expect(result.failure?.message).toBeUndefined();
  expect(result.fault).toBeNull();
  expect(result.executions).toBe(6);
});

test.each(["cow-no-flush", "cow-no-recheck"])(
  "cow-storm finds %s, and its failure repeats",
  async (mutant) => {
    const { failure } = await explore("cow-storm", { executions: 200, mutants: [mutant], shrink: false });
    expect(failure).not.toBeNull();
    const again = await replay(failure!.schedule, { times: 2, report: false });
    expect(again.verdict).toBe("reproduced 2 times of 2");
  },
);

test("a workload that says nothing of it cannot be explored", async () => {
  await expect(explore("page-rand")).rejects.toThrow(/scenario: "page-rand" is none; valid are /);
});
