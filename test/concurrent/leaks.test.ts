/** The leak scan finds what was planted, and nothing after work that gives all back. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { stress } from "../../src/experiment/stress.ts";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const program = (name: string): string => join(import.meta.dirname, `../support/programs/${name}.ts`);

afterAll(destroyIdlePools);

test("planted leaks are found, each once, with object, cache, size, place and first bytes", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "64MiB" });
  const { fault } = await machine.run(program("leaks"), { operations: 1 });
  expect(fault).toBeNull();
  const leaks = await machine.leaks();
  expect(leaks.map(({ cache, sizeBytes }) => `${cache} ${sizeBytes}`).toSorted()).toEqual(
    ["links 8", "links 8", "links 8", "untyped 72", " 16384"].toSorted(),
  );
  const object = leaks.find(({ cache }) => cache === "untyped")!;
  expect(object.text).toMatch(
    /^unreferenced object 0x[0-9a-f]{8} \(size 72\):\n {2}cache untyped\n {2}hex dump \(first 32 bytes\):\n {4}6c 61 6b 00 /,
  );
  expect(object.text).toContain("  lak.............");
  for (const { text } of leaks.filter(({ cache }) => cache === "links"))
    expect(text).toMatch(/ {2}Allocated in .*leaks\.ts:\d+.* age=\d+ cpu=0 pid=1\n/);
  const ageless = (text: string): string => text.replaceAll(/age=\d+/g, "age");
  expect(ageless(await machine.proc("kmemleak"))).toBe(ageless(leaks.map(({ text }) => text).join("")));
  await machine.halt();
});

/** Goal: no false alarm.  Method: random work of each kind, at rest. */
test.each<[string, MachineConfig]>([
  ["page-stress", { cpus: 4, seed: 41 }],
  ["percpu-churn", { cpus: 4, seed: 42 }],
  ["percpu-stress", { cpus: 2, nodes: 2, seed: 43 }],
  [program("slab-churn"), { cpus: 4, seed: 44 }],
  ["percpu-churn", { cpus: 2, mode: "virtual", seed: 45 }],
])("%s leaves nothing behind: %o", async (workload, config) => {
  const machine = await Machine.boot({ memory: "64MiB", ...config });
  const { fault } = await machine.run(workload, { operations: 400 });
  expect(fault?.message ?? "none").toBe("none");
  expect((await machine.leaks()).map(({ text }) => text)).toEqual([]);
  await machine.halt();
});

test("an allocator that does not say what is given out is refused", async () => {
  const machine = await Machine.boot({ cpus: 1, slab: "slob" });
  await expect(machine.leaks()).rejects.toThrow('slab: "slob" does not say which objects are given out');
  await machine.halt();
});

test("a stress run that looks for leaks ends with the first", async () => {
  const plan = { machine: { cpus: 2, memory: "64MiB" }, options: {}, seconds: 0.2, roundSeconds: 0.02 };
  const { signal } = new AbortController();
  const { fault, rounds } = await stress({ ...plan, workload: program("leaks"), leaks: true, signal });
  expect(rounds).toBe(1);
  expect(fault?.message).toMatch(/^5 objects have leaked: nothing refers to them; the first is /);
  expect(fault?.report).toContain("unreferenced object 0x");
  const clean = await stress({ ...plan, workload: "percpu-churn", leaks: true, signal });
  expect(clean.fault).toBeNull();
  expect(clean.checked).toContain("leaks");
});
