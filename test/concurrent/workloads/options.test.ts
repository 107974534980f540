import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Machine } from "../../../src/machine/machine.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";

const DESCRIBED = join(import.meta.dirname, "../../support/programs/described.ts");

const SHARED = join(import.meta.dirname, "../../support/programs/shared.ts");

afterAll(destroyIdlePools);

test("what setup returns reaches every run, and check", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "1MiB" });
  const { fault } = await machine.run(SHARED);
  expect(fault?.message).toBe('Error: saw [{"word":42},{"word":42},{"word":42}]');
});

test("a program's options are checked before the run, and completed", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "1MiB" });
  await expect(machine.run(DESCRIBED, { options: { size: 10 } })).rejects.toThrow(
    "described: option size: 10 is not valid; valid are whole numbers from 1 to 9",
  );
  await expect(machine.run("no-such-workload")).rejects.toThrow('program: "no-such-workload" is no workload');
  const result = await machine.run(DESCRIBED, { options: { size: "4" } });
  expect(result.options).toEqual({ size: 4 });
  expect(result.cpuResults.map((cpu) => cpu.value)).toEqual([{ size: 4 }, { size: 4 }]);
  expect((await machine.run(DESCRIBED)).options).toEqual({ size: 3 });
  await machine.halt();
});

test("a program that needs more CPUs says so", async () => {
  const machine = await Machine.boot({ cpus: 1, memory: "1MiB" });
  await expect(machine.run(DESCRIBED)).rejects.toThrow(
    "described: it needs at least 2 CPUs; the machine has 1",
  );
  await machine.halt();
});
