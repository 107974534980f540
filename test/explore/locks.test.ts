import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { CampaignResult } from "../../src/machine/explore-run.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { ProgramOptions } from "../../src/machine/program.ts";

const seed = Number(process.env.SMPSIM_SEED ?? 20240);
const EXECUTIONS = 2000;

afterAll(destroyIdlePools);

async function explore(
  program: string,
  options: ProgramOptions,
  how: { lock?: string; mutants?: string[]; strategy?: "random" | "pct"; executions?: number } = {},
): Promise<CampaignResult> {
  const { lock = "pv", mutants = [], strategy = "random", executions = EXECUTIONS } = how;
  const machine = await Machine.boot({
    cpus: 3,
    mode: "explore",
    memory: "1MiB",
    checks: true,
    seed,
    lock,
    mutants,
  });
  const path = fileURLToPath(new URL(`../support/programs/${program}.ts`, import.meta.url));
  const plan = { executions, seed, stepLimit: 100_000, hashes: false, audit: false };
  const task = { strategy, depth: 3, plan, tape: new Int32Array(0), logFrom: Infinity };
  const result = await machine.explore(path, task, { options });
  await machine.halt();
  expect(result.fault, `SMPSIM_SEED=${seed}`).toBeNull();
  return result;
}

describe("healthy locks", () => {
  test.each(["tas", "ticket", "queued"])(
    "spinlock %s keeps 3 CPUs apart under every schedule tried",
    async (lock) => {
      for (const strategy of ["random", "pct"] as const) {
        const { failure } = await explore(
          "lock-sections",
          { sections: 2, interrupts: 4 },
          { lock, strategy, executions: 1000 },
        );
        expect(failure, `SMPSIM_SEED=${seed}: ${failure?.fault.message}`).toBeNull();
      }
    },
  );

  test("the paravirtual form, which parallel mode uses, neither lets two in nor forgets a halted CPU", async () => {
    for (const strategy of ["random", "pct"] as const) {
      const { failure } = await explore(
        "lock-sections",
        { sections: 3, paravirtual: true, interrupts: 4 },
        { strategy },
      );
      expect(failure, `SMPSIM_SEED=${seed}: ${failure?.fault.message}`).toBeNull();
    }
  });

  test.each(["mutex", "rwsem", "rwlock", "seqlock"])(
    "%s lets in whom it may, and forgets nobody",
    async (lock) => {
      for (const strategy of ["random", "pct"] as const) {
        const options = { lock, sections: 2, inside: 1 };
        const { failure } = await explore("shared-sections", options, { strategy, executions: 1000 });
        expect(failure, `SMPSIM_SEED=${seed}: ${failure?.fault.message}`).toBeNull();
      }
    },
  );
});

describe("mutants are found", () => {
  test.each([
    ["pv-forgets-kick", "lock-sections", {}, /deadlock/],
    ["pv-forgets-kick", "lock-sections", { paravirtual: true }, /deadlock/],
    ["mutex-sleeps-untried", "shared-sections", { lock: "mutex" }, /deadlock/],
    ["rwsem-grants-blindly", "shared-sections", { lock: "rwsem" }, /inside|not the writer|half of a write/],
    ["rwlock-forgets-wake", "shared-sections", { lock: "rwlock" }, /deadlock/],
    ["seqlock-reads-odd", "shared-sections", { lock: "seqlock" }, /half of a write/],
  ] as const)("%s, whose place healthy campaigns execute", async (name, program, more, message) => {
    const options = { sections: 2, inside: 1, ...more };
    const healthy = await explore(program, options, { executions: 200 });
    expect(healthy.failure).toBeNull();
    expect(healthy.reached).toContain(name);
    const broken = await explore(program, options, { mutants: [name] });
    expect(broken.failure?.fault.message, `SMPSIM_SEED=${seed}`).toMatch(message);
  });
});
