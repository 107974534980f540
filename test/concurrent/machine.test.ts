import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { RunResult } from "../../src/machine/program.ts";

const program = (name: string): string =>
  fileURLToPath(new URL(`../support/programs/${name}.ts`, import.meta.url));

afterAll(destroyIdlePools);

async function misbehaving(how: string, options: object = {}): Promise<RunResult & { tookMs: number }> {
  const machine = await Machine.boot({
    cpus: 3,
    memory: "4MiB",
    heapMiB: 64,
    checks: true,
    ...options,
  });
  const startedAt = performance.now();
  const result = await machine.run(program("misbehave"), { options: { how }, seconds: 30 });
  await machine.halt();
  return { ...result, tookMs: performance.now() - startedAt };
}

describe("a run that fails ends with one clear error", () => {
  test("an exception of the program names CPU and message", async () => {
    const { fault, tookMs } = await misbehaving("throw");
    expect(fault).toMatchObject({ kind: "exception", cpu: 2, message: "TypeError: planted exception" });
    expect(fault?.stack).toContain("misbehave.ts");
    expect(fault?.report).toContain("cpu 2: running");
    expect(tookMs).toBeLessThan(25_000);
  });

  test("a thread that exits", async () => {
    const { fault } = await misbehaving("exit");
    expect(fault).toMatchObject({ kind: "worker", cpu: 2 });
    expect(fault?.message).toMatch(/cpu 2: its thread ended.*7/);
  });

  test("a heap that runs out", async () => {
    const { fault } = await misbehaving("heap");
    expect(fault).toMatchObject({ kind: "memory", cpu: 2 });
    expect(fault?.message).toContain("raise heapMiB");
  });

  test("sleeping where it is forbidden", async () => {
    const { fault } = await misbehaving("atomic");
    expect(fault?.message).toContain("sleeping function called from invalid context at misbehave.ts");
  });

  test("an operation that ends with preemption disabled", async () => {
    const { fault } = await misbehaving("held");
    expect(fault?.message).toBe("cpu 2: operation ended with preempt_count 1");
  });

  test("the program's own check", async () => {
    const machine = await Machine.boot({ cpus: 2, memory: "4MiB" });
    const { fault } = await machine.run(program("misbehave"), { options: { how: "check" }, operations: 10 });
    expect(fault).toMatchObject({ kind: "check", message: "Error: the oracle says no" });
  });

  test("a wait that nothing ends is a hang, and the report says on what", async () => {
    const machine = await Machine.boot({ cpus: 2, memory: "4MiB", hangSeconds: 2 });
    const { fault } = await machine.run(program("misbehave"), { options: { how: "sleep" }, operations: 10 });
    expect(fault?.kind).toBe("hang");
    expect(fault?.report).toMatch(/waits while \(word 0x[0-9a-f]+ & 0xffffffff\) == 0x0; the word is 0x0/);
  });

  test("a lock that is never given back is a hang, and the report names it", async () => {
    const machine = await Machine.boot({ cpus: 2, memory: "4MiB", hangSeconds: 2 });
    const { fault } = await machine.run(program("misbehave"), {
      options: { how: "keeps-lock" },
      operations: 10,
    });
    expect(fault?.kind).toBe("hang");
    expect(fault?.report).toMatch(
      /waits for lock test_a at 0x[0-9a-f]+, held by cpu 1, whose word is 0x[0-9a-f]+/,
    );
  });

  test("a loop without operations is a hang", async () => {
    const machine = await Machine.boot({ cpus: 2, memory: "4MiB", hangSeconds: 1 });
    const { fault } = await machine.run(program("misbehave"), { options: { how: "loop" }, operations: 10 });
    expect(fault?.kind).toBe("hang");
  });

  test("a program that does not hear the stop is ended", async () => {
    const machine = await Machine.boot({ cpus: 2, memory: "4MiB", hangSeconds: 1 });
    const { fault } = await machine.run(program("misbehave"), { options: { how: "deaf" }, seconds: 0.1 });
    expect(fault?.kind).toBe("hang");
    expect(fault?.message).toContain("cpu 1 still runs its program 1 s after it was told to stop");
  });
});

describe("a run that goes well", () => {
  test.each([
    { cpus: 2, tokens: "cores" as const },
    { cpus: 8, tokens: "cores" as const },
    { cpus: 8, tokens: 1 },
    { cpus: 8, tokens: "free" as const },
  ])("loses no atomic update on $cpus CPUs, tokens $tokens", async ({ cpus, tokens }) => {
    const machine = await Machine.boot({ cpus, memory: "4MiB", tokens });
    const result = await machine.run(program("counter"), { operations: 20_000 });
    expect(result.fault).toBeNull();
    expect(result.cpuResults.map((r) => r.value)).toEqual(new Array(cpus).fill(20_000));
    await machine.halt();
  });

  test("a torn counter is caught, so the check can fail", async () => {
    const machine = await Machine.boot({ cpus: 4, memory: "4MiB", tokens: "free" });
    const { fault } = await machine.run(program("counter"), {
      operations: 1000,
      options: { torn: true },
    });
    expect(fault?.message).toMatch(/counter is \d+, the CPUs added 4000/);
  });

  test("an abort signal keeps what was measured", async () => {
    const machine = await Machine.boot({ cpus: 2, memory: "4MiB" });
    const result = await machine.run(program("counter"), { seconds: 60, signal: AbortSignal.timeout(1500) });
    expect(result.fault).toBeNull();
    expect(result.interrupted).toBe(true);
    expect(result.cpuResults[0].phases[0].operations).toBeGreaterThan(0);
    await machine.halt();
  });

  test("every CPU is a thread of its own, kept from run to run and from machine to machine", async () => {
    const ids: number[][] = [];
    for (let round = 0; round < 2; round++) {
      const machine = await Machine.boot({ cpus: 4, memory: "4MiB" });
      for (let i = 0; i < 2; i++) {
        const result = await machine.run(program("thread-id"), { operations: 1 });
        ids.push(result.cpuResults.map((r) => r.value as number));
      }
      await machine.halt();
    }
    expect(new Set(ids[0]).size).toBe(4);
    for (const other of ids) expect(other).toEqual(ids[0]);
  });
});

describe("a bad configuration", () => {
  test.each<[MachineConfig, string]>([
    [{ cpus: 0 }, "cpus: 0 is not valid; valid are whole numbers from 1 to 256"],
    [{ memory: "12 parsecs" }, "is not a size"],
    [{ memory: "16GiB" }, "valid are multiples of 4KiB from 512KiB to 8GiB"],
    [{ lock: "wooden" }, "valid are tas, ticket, queued, pv, or a path"],
    [{ slab: "slap" as "slab" }, 'slab: "slap" is not valid; valid are slub, slab, slob'],
    [{ slab: "slob", slabDebug: "F" }, 'slabDebug: "F" is not valid: only slab "slub" does that'],
    [{ tokens: 0 }, "tokens: 0 is not valid"],
    [{ pageLists: "7.0" as "6.0" }, "valid are 6.12, 6.0, off"],
  ])("%j names the valid range", async (config, message) => {
    await expect(Machine.boot(config)).rejects.toThrow(message);
  });

  test("a program that does not exist", async () => {
    const machine = await Machine.boot({ cpus: 1, memory: "4MiB" });
    await expect(machine.run("no-such-workload")).rejects.toThrow("is no workload; valid are");
    await expect(machine.run("./no-such-file.ts")).rejects.toThrow("there is no file");
    await machine.halt();
  });
});
