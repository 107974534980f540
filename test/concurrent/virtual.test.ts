import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { RunResult } from "../../src/machine/program.ts";

const path = (name: string): string =>
  fileURLToPath(new URL(`../support/programs/${name}.ts`, import.meta.url));

afterAll(destroyIdlePools);

interface Outcome {
  readonly result: RunResult;
  readonly digest: string;
  readonly clocks: readonly number[];
}

async function simulate(program: string, config: object, run: object): Promise<Outcome> {
  const machine = await Machine.boot({ memory: "64MiB", mode: "virtual", seed: 3, ...config });
  const result = await machine.run(program, run);
  expect(result.fault).toBeNull();
  const digest = machine.digest();
  expect((await machine.check()).fault).toBeNull();
  await machine.halt();
  return { result, digest, clocks: result.cpuResults.flatMap((r) => r.phases.map((p) => p.elapsedNs)) };
}

const nsPerOperation = ({ result }: Outcome): number => {
  const phases = result.cpuResults.map((r) => r.phases[0]);
  return phases.reduce((sum, p) => sum + p.elapsedNs / p.operations, 0) / phases.length;
};

describe("simulated time", () => {
  test.each(["counter", "page-churn"])(
    "%s: the same run gives the same clocks and the same RAM",
    async (name) => {
      const runs = [];
      for (let i = 0; i < 2; i++) runs.push(await simulate(path(name), { cpus: 5 }, { operations: 400 }));
      expect(runs[1].clocks).toEqual(runs[0].clocks);
      expect(runs[1].digest).toBe(runs[0].digest);
    },
  );

  test("a smaller machine does the same on a larger one's threads as on its own", async () => {
    await destroyIdlePools();
    const own = await simulate(path("page-churn"), { cpus: 2 }, { operations: 300 });
    await destroyIdlePools();
    await simulate(path("page-churn"), { cpus: 4 }, { operations: 300 });
    const lent = await simulate(path("page-churn"), { cpus: 2 }, { operations: 300 });
    expect(lent.clocks).toEqual(own.clocks);
    expect(lent.digest).toBe(own.digest);
  });

  test("a timed run ends at its simulated time, whatever the host does", async () => {
    const a = await simulate("page-repeat", { cpus: 3 }, { seconds: 0.0002 });
    const b = await simulate("page-repeat", { cpus: 3 }, { seconds: 0.0002 });
    expect(a.digest).toBe(b.digest);
    for (const phase of a.result.cpuResults.flatMap((r) => r.phases)) {
      expect(phase.elapsedNs).toBeGreaterThan(100_000);
      expect(phase.elapsedNs).toBeLessThan(400_000);
    }
  });

  test("a word that all CPUs add to costs each of them more, the more they are; page lists do not", async () => {
    const shared = [];
    const lists = [];
    for (const cpus of [1, 2, 4]) {
      shared.push(nsPerOperation(await simulate(path("counter"), { cpus }, { operations: 8000 })));
      lists.push(nsPerOperation(await simulate("page-repeat", { cpus }, { operations: 400 })));
    }
    expect(shared[1]).toBeGreaterThan(4 * shared[0]);
    expect(shared[2] / shared[1]).toBeGreaterThan(1.9);
    expect(shared[2] / shared[1]).toBeLessThan(2.2);
    expect(lists[2] / lists[0]).toBeLessThan(1.1);
  });

  test("looking for earlier CPUs at every access agrees with looking at marked ones", async () => {
    const marked = await simulate(path("counter"), { cpus: 4 }, { operations: 4000 });
    const all = await simulate(path("counter"), { cpus: 4, switch: "all", slack: 200 }, { operations: 4000 });
    expect(nsPerOperation(all) / nsPerOperation(marked)).toBeGreaterThan(0.97);
    expect(nsPerOperation(all) / nsPerOperation(marked)).toBeLessThan(1.03);
  });

  test("CPUs that wait for what never comes are a deadlock at once", async () => {
    const machine = await Machine.boot({ cpus: 3, memory: "64MiB", mode: "virtual" });
    const { fault } = await machine.run(path("misbehave"), { options: { how: "sleep" }, operations: 10 });
    expect(fault?.kind).toBe("deadlock");
    expect(fault?.report).toMatch(/waits while \(word 0x[0-9a-f]+ & 0xffffffff\) == 0x0/);
  });

  test.each([
    [{ profile: "abacus" }, 'profile: "abacus" is not valid; valid are xeon-gold-5320, xeon-8375c-2s,'],
    [{ profile: "./nowhere.json" }, "profile: cannot read ./nowhere.json"],
    [{ switch: "some" as "all" }, 'switch: "some" is not valid; valid are marked, all'],
    [{ slack: -1 }, "slack: -1 is not valid"],
  ])("%j names what is valid", async (config, message) => {
    await expect(Machine.boot({ mode: "virtual", ...config })).rejects.toThrow(message);
  });
});
