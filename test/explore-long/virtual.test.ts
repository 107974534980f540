/** Simulated time at length: the cross-check at full size, and every workload twice on more CPUs. */

import { afterEach, describe, expect, test } from "vitest";
import { differencesOf } from "../../src/experiment/audit.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { workloadNames } from "../../src/machine/resolve-program.ts";
import { AGREEMENT, type CrossCheck, crossCheck } from "../support/cross-check.ts";
import { simulatedFacts } from "../support/simulated-facts.ts";

const SEED = 11;

afterEach(destroyIdlePools);

describe("at every access as at marked ones, at full size", () => {
  const checks: readonly CrossCheck[] = [
    { program: "page-bulk", memory: "2GiB", run: { operations: 1 } },
    { program: "page-bulk", memory: "1GiB", run: { operations: 1, options: { order: 2 } } },
    // Frees at random drift apart as the run grows: 1 % at this size, 4 % at 512 MiB, 7 % at 1 GiB (docs/LIMITS.md).
    { program: "page-rand", memory: "256MiB", run: { operations: 1 } },
    { program: "page-repeat", memory: "256MiB", run: { operations: 50_000 } },
    { program: "lock", memory: "16MiB", run: { operations: 5000 } },
  ];
  test.each(checks)("$program, $run, on 8 CPUs", async (check) => {
    const ratios = Object.entries(await crossCheck(check));
    const apart = ratios.filter(([, ratio]) => Math.abs(ratio - 1) >= AGREEMENT);
    expect(apart).toEqual([]);
  });
});

describe("the same run twice does the same", () => {
  test.each(workloadNames())(
    `%s, 12 CPUs on 2 nodes, 100 operations each (seed ${SEED})`,
    async (program) => {
      const run = {
        program,
        machine: { cpus: 12, nodes: 2, memory: "128MiB", seed: SEED },
        run: { operations: 100 },
      };
      expect(differencesOf(await simulatedFacts(run), await simulatedFacts(run))).toEqual([]);
    },
  );
});
