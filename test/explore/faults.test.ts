/** What is not a race but a mistake: in the scenario, in its use, or in what its failure depends on. */

import { resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { explore } from "../../src/machine/explore.ts";
import { formatFailure } from "../../src/machine/explore-report.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const own = (name: string): string => resolve(import.meta.dirname, `../support/scenarios/${name}.ts`);
const broken = (mutant: string) => explore(own("ill-behaved"), { mutants: [mutant], executions: 20 });

afterAll(destroyIdlePools);

test("a scenario that does nothing wrong is clean", async () => {
  const result = await explore(own("ill-behaved"), { executions: 20 });
  expect(result.failure).toBeNull();
  expect(result.fault).toBeNull();
});

test.each([
  ["setup-throws", 0, "setup says no"],
  ["attach-throws", 1, "attach says no"],
])("%s: a fault of the campaign, not of an execution", async (mutant, cpu, message) => {
  const { failure, fault, executions } = await broken(mutant);
  expect(failure).toBeNull();
  expect(fault).toMatchObject({ kind: "bug", cpu, message });
  expect(executions).toBe(0);
});

test.each([
  ["exception", "exception", /^TypeError: Cannot read properties of null/],
  ["irqs-off", "bug", /^cpu \d: its program ended with interrupts off$/],
  ["check-waits", "deadlock", /^cpu \d waits, and no other CPU runs$/],
] as const)("%s: a failure of kind %s", async (mutant, kind, message) => {
  const { failure } = await broken(mutant);
  expect(failure?.kind).toBe(kind);
  expect(failure?.message).toMatch(message);
});

describe("a failure that tracing changes is reported without its steps", () => {
  test.each([
    ["minds-tracing", /^the traced replay diverged at step \d+$/],
    ["heals-when-traced", /^the traced replay ended well$/],
    ["fails-when-traced", /^the traced replay failed: setup dislikes tracing$/],
  ])("%s", async (mutant, reason) => {
    const { failure } = await broken(mutant);
    if (failure === null) throw new Error("no failure");
    expect(failure.untraced).toMatch(reason);
    expect(failure.rows).toEqual([]);
    expect(formatFailure(failure)).toContain(`No table of steps: ${failure.untraced}`);
    expect(formatFailure(failure)).toContain(`npx smpsim replay ${failure.schedule}`);
  });

  test("as is one for which no steps were asked", async () => {
    const options = { mutants: ["lost-update-torn"], report: false };
    expect((await explore("lost-update", options)).failure?.untraced).toBe("not asked for");
    const { failure } = await explore(own("keeps-a-field"), { audit: true });
    expect(failure?.untraced).toBe("the execution does not repeat");
    expect(formatFailure(failure as NonNullable<typeof failure>)).not.toContain("smpsim replay");
  });
});

test("more switches than a tape holds end the execution", async () => {
  const endless = { strategy: "random", stepLimit: 0x7fffffff, shrink: false, report: false } as const;
  const { failure } = await explore(own("endless-spin"), endless);
  expect(failure?.kind).toBe("limit");
  expect(failure?.message).toBe("more than 262144 switches");
});

test("a machine of another mode explores nothing", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "4MiB" });
  const plan = { seed: 1, executions: 1, stepLimit: 100, hashes: false };
  const campaign = { strategy: "random", depth: 1, plan } as const;
  await expect(machine.explore("x", campaign)).rejects.toThrow('explore needs a machine with mode "explore"');
  await machine.halt();
});
