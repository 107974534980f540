/** Kernel stacks of real threads: an overrun is reported with its chain, work stays shallow, interrupts are apart. */

import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const program = (name: string): string => join(import.meta.dirname, `../support/programs/${name}.ts`);

afterAll(destroyIdlePools);

/** Bytes used of each stack, by name. */
async function used(machine: Machine): Promise<Map<string, number>> {
  const rows = (await machine.proc("kernel_stack")).trim().split("\n").slice(1);
  return new Map(
    rows.map((row) => {
      const [, name, , bytes] = row.trim().split(/\s+/);
      return [name, Number(bytes)];
    }),
  );
}

const boot = (config: MachineConfig = {}): Promise<Machine> =>
  Machine.boot({ cpus: 2, memory: "32MiB", checks: true, ...config });

describe("a planted fault", () => {
  test("an overrun names task, CPU, depth and the chain of frames", async () => {
    const machine = await boot();
    const { fault } = await machine.run(program("stack-overrun"), {
      operations: 1,
      options: { how: "overrun" },
    });
    expect(fault?.cpu).toBe(1);
    const [title, ...chain] = (fault?.message ?? "").split("\n");
    expect(title).toBe(
      "kernel stack overflow: task program/1 (2) on cpu 1: leaf needs depth 8272 of the 8192 bytes",
    );
    expect(chain[0]).toMatch(/^ +8272 {2}leaf +208$/);
    expect(chain[1]).toMatch(/^ +8064 {2}descend +1008$/);
    expect(chain.length).toBe(9);
    expect(chain[8]).toMatch(/^ +1008 {2}descend +1008$/);
  });

  test("the same frames fit 16 KiB", async () => {
    const machine = await boot({ threadSize: "16KiB" });
    const { fault } = await machine.run(program("stack-overrun"), {
      operations: 1,
      options: { how: "overrun" },
    });
    expect(fault).toBeNull();
    expect((await used(machine)).get("program/1")).toBe(8 * 1008 + 208);
    await machine.halt();
  });

  test("a write over the end is found when the task gives up its CPU", async () => {
    const machine = await boot();
    const { fault } = await machine.run(program("stack-overrun"), {
      operations: 1,
      options: { how: "scribble" },
    });
    expect(fault?.message).toMatch(
      /^corrupted stack end detected inside scheduler: task program\/1 \(2\) on cpu 1: the last word of its stack, at 0x[0-9a-f]+, is 0x1234$/,
    );
  });
});

test("an interrupt does not add to the task's depth", async () => {
  const machine = await boot();
  const { fault } = await machine.run(program("interrupted-depth"), { operations: 1 });
  expect(fault).toBeNull();
  const depths = await used(machine);
  expect(depths.get("program/1")).toBe(6000);
  expect(depths.get("irq/1")).toBe(240 + 112 + 5008);
  await machine.halt();
});

/** Goal: the kernel's own depth is bounded.  Method: random work of each kind, then the high-water marks. */
test.each<[string, MachineConfig]>([
  ["page-stress", { cpus: 4, memory: "32MiB", seed: 31 }],
  ["percpu-churn", { cpus: 4, seed: 32 }],
  ["ipi-stress", { cpus: 4, seed: 33 }],
  ["percpu-churn", { cpus: 2, mode: "virtual", seed: 34 }],
])("%s never needs more than 2 KiB of a stack: %o", async (workload, config) => {
  const machine = await boot(config);
  const { fault } = await machine.run(workload, { operations: 500 });
  expect(fault?.message ?? "none").toBe("none");
  const depths = [...(await used(machine)).values()];
  expect(Math.max(...depths)).toBeGreaterThan(200);
  expect(Math.max(...depths)).toBeLessThanOrEqual(2048);
  const { fault: broken } = await machine.check();
  expect(broken).toBeNull();
  await machine.halt();
});

test("stacks are counted as memory of the kernel, and a wrong size is refused", async () => {
  const machine = await boot({ cpus: 3 });
  expect(await machine.proc("meminfo")).toMatch(/^KernelStack: +24 kB$/m);
  await machine.halt();
  await expect(boot({ threadSize: "4KiB" })).rejects.toThrow(
    "threadSize: 4KiB is not valid; valid are 8192 and 16384 bytes",
  );
});
