import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { RunOptions } from "../../src/machine/run.ts";

const FORMS = ["semaphore", "handoff", "condition", "queue", "completion", "barrier", "once"];

afterAll(destroyIdlePools);

async function run(config: object, name: string, options: RunOptions) {
  const machine = await Machine.boot({ memory: "16MiB", ...config });
  const program = fileURLToPath(new URL(`../support/programs/${name}.ts`, import.meta.url));
  const result = await machine.run(program, options);
  await machine.halt();
  return result;
}

/** Goal: nobody is forgotten, nothing is let in twice.  Method: see the program. */
describe.each(FORMS)("%s", (form) => {
  test.each([
    { cpus: 2, tokens: "cores" as const, operations: 5_000, seed: 1 },
    { cpus: 6, tokens: "cores" as const, operations: 500, seed: 2 },
    { cpus: 6, tokens: 1, operations: 300, seed: 3 },
    { cpus: 4, tokens: "free" as const, operations: 200, seed: 4 },
    { cpus: 32, tokens: "cores" as const, operations: 30, seed: 5 },
  ])("$cpus CPUs, tokens $tokens, seed $seed", async ({ operations, ...config }) => {
    expect((await run(config, "waits", { operations, options: { form } })).fault).toBeNull();
  });
});

/** Method: the waker acts just after the waiter has looked. */
describe("a wake-up between the look and the sleep", () => {
  test("is not lost", async () => {
    expect((await run({ cpus: 2 }, "lost-wakeup", { operations: 1 })).fault).toBeNull();
  });

  test("is lost by a waiter that looks before it queues", async () => {
    const config = { cpus: 2, hangSeconds: 1, mutants: ["wait-queue-lost-wakeup"] };
    const { fault } = await run(config, "lost-wakeup", { operations: 1 });
    expect(fault?.kind).toBe("hang");
    expect(fault?.report).toContain("waits while");
  });
});
