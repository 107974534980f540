import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { ProgramOptions } from "../../src/machine/program.ts";

const seed = Number(process.env.SMPSIM_SEED ?? 4711);
const EXECUTIONS = Number(process.env.SMPSIM_EXECUTIONS ?? 500);

afterAll(destroyIdlePools);

interface How {
  cpus: number;
  strategy: "random" | "pct";
  executions?: number;
  mutants?: string[];
}

async function explore(program: string, options: ProgramOptions, how: How) {
  const { cpus, strategy, executions = EXECUTIONS, mutants = [] } = how;
  const machine = await Machine.boot({ cpus, mode: "explore", memory: "1MiB", checks: true, seed, mutants });
  const path = fileURLToPath(new URL(`../support/programs/${program}.ts`, import.meta.url));
  const plan = { executions, seed, stepLimit: 100_000, hashes: false, audit: false };
  const task = { strategy, depth: 3, plan, tape: new Int32Array(0), logFrom: Infinity };
  const result = await machine.explore(path, task, { options });
  await machine.halt();
  expect(result.fault, `SMPSIM_SEED=${seed}`).toBeNull();
  return result;
}

const STRATEGIES = ["random", "pct"] as const;

describe.each(STRATEGIES)("healthy under %s schedules", (strategy) => {
  test.each([
    ["semaphore", 3],
    ["handoff", 2],
    ["condition", 2],
    ["queue", 3],
    ["completion", 2],
    ["barrier", 3],
    ["once", 2],
  ])("%s on %d CPUs", async (form, cpus) => {
    const { failure } = await explore("waits", { form, sections: 2, tokens: 1 }, { cpus, strategy });
    expect(failure, `SMPSIM_SEED=${seed}: ${failure?.fault.message}`).toBeNull();
  });

  test.each([false, true])("RCU, with callbacks: %s", async (calls) => {
    const { failure } = await explore("rcu-sections", { sections: 2, calls }, { cpus: 3, strategy });
    expect(failure, `SMPSIM_SEED=${seed}: ${failure?.fault.message}`).toBeNull();
  });
});

describe("mutants are found", () => {
  test.each([
    ["wait-queue-lost-wakeup", "waits", { form: "queue", sections: 2, tokens: 1 }, /deadlock/],
    ["rcu-callback-too-early", "rcu-sections", { sections: 2, calls: false }, /saw \d+, then -1/],
  ] as const)("%s, whose place healthy campaigns execute", async (name, program, options, message) => {
    const found: string[] = [];
    const reached = new Set<string>();
    for (const strategy of STRATEGIES) {
      const how = { cpus: 3, strategy, executions: 2000 };
      const { failure } = await explore(program, options, { ...how, mutants: [name] });
      if (failure) found.push(failure.fault.message);
      const healthy = await explore(program, options, { ...how, executions: 500 });
      for (const place of healthy.reached) reached.add(place);
    }
    expect([...reached]).toContain(name);
    expect(found.length, `SMPSIM_SEED=${seed}`).toBeGreaterThan(0);
    for (const text of found) expect(text).toMatch(message);
  });
});
