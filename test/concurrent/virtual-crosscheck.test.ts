import { afterAll, describe, expect, test } from "vitest";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { AGREEMENT, type CrossCheck, crossCheck } from "../support/cross-check.ts";

afterAll(destroyIdlePools);

const checks: readonly CrossCheck[] = [
  { program: "page-bulk", memory: "256MiB", run: { operations: 1 } },
  { program: "page-rand", memory: "256MiB", run: { operations: 1 } },
  { program: "page-repeat", memory: "64MiB", run: { operations: 1000 } },
  { program: "lock", memory: "16MiB", run: { operations: 300 } },
  { program: "lock", memory: "16MiB", run: { operations: 300, options: { think: 0, hold: 50 } } },
  { program: "percpu-counter", memory: "16MiB", run: { operations: 500 } },
];

describe("switches at every access agree with switches at marked ones", () => {
  test.each(checks)("$program on 8 CPUs, $run", async (check) => {
    const ratios = Object.values(await crossCheck(check));
    expect(ratios.length).toBeGreaterThan(0);
    for (const ratio of ratios) expect(Math.abs(ratio - 1)).toBeLessThan(AGREEMENT);
  });
});
