import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { UsageError } from "../../src/memory/bug.ts";

const churn = fileURLToPath(new URL("../support/programs/page-churn.ts", import.meta.url));

afterAll(destroyIdlePools);

describe("a booted machine", () => {
  test("says what it is, as dmesg does, and all its invariants hold", async () => {
    const machine = await Machine.boot({ cpus: 2, nodes: 2, memory: "256MiB" });
    const log = machine.bootLog.join("\n");
    expect(log).toContain("smpsim: Linux 6.12 rules, 2 CPUs on 2 nodes");
    expect(log).toMatch(/Zone ranges:/);
    expect(log).toMatch(/Memory: \d+K\/261752K available/);
    const { report, fault } = await machine.check();
    expect(fault).toBeNull();
    expect(report?.freePages).toBeGreaterThan(60_000);
    await machine.halt();
  });

  test.each([
    { cpus: 1, memory: "1MiB" },
    { cpus: 4, memory: "4MiB" },
    { cpus: 8, nodes: 4, memory: "128MiB" },
    { cpus: 2, memory: "256MiB", pageLists: "off" as const },
    { cpus: 2, memory: "256MiB", pageLists: "6.0" as const },
    { cpus: 2, memory: "5GiB", nodes: 2 },
  ])("%j: pages given and taken on all CPUs all come back", async (config) => {
    const machine = await Machine.boot({ ...config, checks: true });
    const before = await machine.check();
    const result = await machine.run(churn, { operations: 3000 });
    expect(result.fault).toBeNull();
    const after = await machine.check();
    expect(after.fault).toBeNull();
    expect(after.report?.freePages).toBe(before.report?.freePages);
    await machine.halt();
  });

  test("what only the boot CPU can find wrong with a configuration is the user's error too", async () => {
    const memoryMap = Array.from({ length: 200 }, (_, i) => ({
      startBytes: i * 65536,
      sizeBytes: 32768,
      node: 0,
    }));
    const boot = Machine.boot({ cpus: 1, memoryMap });
    await expect(boot).rejects.toThrow("memoryMap: too many ranges; valid are up to 128");
    await expect(boot).rejects.toBeInstanceOf(UsageError);
  });

  test("a machine of explore mode does not run programs freely", async () => {
    const machine = await Machine.boot({ cpus: 1, memory: "1MiB", mode: "explore" });
    await expect(machine.run(churn)).rejects.toThrow("runs programs with explore()");
    await machine.halt();
  });

  test("a snapshot brings the machine back to its boot", async () => {
    const machine = await Machine.boot({ cpus: 2, memory: "64MiB" });
    const snapshot = machine.snapshot();
    await machine.run(churn, { operations: 500 });
    expect(machine.restore(snapshot)).toBeGreaterThan(0);
    expect(machine.restore(snapshot)).toBe(0);
    expect((await machine.check()).fault).toBeNull();
    await machine.halt();
  });
});
