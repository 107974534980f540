import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { ProgramOptions, RunResult } from "../../src/machine/program.ts";
import { SURVIVES_OVERSUBSCRIPTION } from "../../src/sync/spin-algorithm.ts";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const OWN_LOCK = file("../support/locks/exchange-lock.ts");
const seed = Number(process.env.SMPSIM_SEED ?? 20240);

afterAll(destroyIdlePools);

/** Runs a program of test/support/programs; a failure says the fault's text and the seed. */
async function runOn(machine: Machine, program: string, options: ProgramOptions): Promise<RunResult> {
  const result = await machine.run(file(`../support/programs/${program}.ts`), { options });
  const { fault } = result;
  expect(fault, `SMPSIM_SEED=${seed}: ${fault?.message}\n${fault?.stack}\n${fault?.report}`).toBeNull();
  return result;
}

async function runProgram(
  program: string,
  config: MachineConfig,
  options: ProgramOptions,
): Promise<RunResult> {
  const machine = await Machine.boot({ memory: "16MiB", checks: true, seed, ...config });
  const result = await runOn(machine, program, options);
  await machine.halt();
  return result;
}

describe.each(["tas", "ticket", "queued", "pv", OWN_LOCK])("spinlock %s", (lock) => {
  test("4 CPUs lose no addition, interrupted in the middle of waits", async () => {
    const config = { cpus: 4, lock, lockstat: true };
    await runProgram("lock-sections", config, { sections: 2000, interrupts: 32, expectHeld: true });
  });
});

describe("with 32 CPUs, 1,000 sections each", () => {
  test.each([
    ["pv", "cores"],
    ["pv", "free"],
    ["tas", "free"],
  ] as const)("spinlock %s with tokens %s", async (lock, tokens) => {
    expect(SURVIVES_OVERSUBSCRIPTION[lock]).toBe(true);
    const { wallMs } = await runProgram("lock-sections", { cpus: 32, lock, tokens }, { sections: 1000 });
    expect(wallMs).toBeLessThan(60_000);
  });

  test.each(["cores", "free"] as const)("mutex, rwsem, rwlock, seqlock with tokens %s", async (tokens) => {
    const machine = await Machine.boot({ cpus: 32, memory: "16MiB", seed, tokens });
    for (const lock of ["mutex", "rwsem", "rwlock", "seqlock"]) {
      const { wallMs } = await runOn(machine, "shared-sections", { lock, sections: 1000 });
      expect(wallMs, lock).toBeLessThan(60_000);
    }
    await machine.halt();
  });
});

describe.each(["mutex", "rwsem", "rwlock", "seqlock"])("%s", (lock) => {
  test.each(["cores", "free"] as const)("6 CPUs lose no addition with tokens %s", async (tokens) => {
    await runProgram("shared-sections", { cpus: 6, tokens }, { lock, sections: 2000 });
  });

  test("long sections make waiters sleep, and nobody is forgotten", async () => {
    const { cpuResults } = await runProgram(
      "shared-sections",
      { cpus: 4 },
      { lock, sections: 100, inside: 100_000 },
    );
    expect(cpuResults.reduce((sum, cpu) => sum + cpu.parks, 0)).toBeGreaterThan(0);
  });
});

describe("who meets inside", () => {
  test("rwsem readers are inside together", async () => {
    await runProgram("lock-meetings", { cpus: 3 }, { what: "readers" });
  });

  test("readers that wait in front come in with the writer that downgrades", async () => {
    await runProgram("lock-meetings", { cpus: 3 }, { what: "downgrade" });
  });

  test("a blocked mutex waiter parks and uses no processor time", async () => {
    const { cpuResults } = await runProgram("lock-meetings", { cpus: 3 }, { what: "blocked" });
    for (const { cpu, value, parks } of cpuResults.slice(1)) {
      const { cpuMs, wallMs } = value as { cpuMs: number; wallMs: number };
      expect(wallMs, `cpu ${cpu}`).toBeGreaterThan(50);
      expect(cpuMs, `cpu ${cpu}`).toBeLessThan(20);
      expect(parks, `cpu ${cpu}`).toBeGreaterThan(0);
    }
  });
});
