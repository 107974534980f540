/** Object caches under real threads. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type MachineConfig, SLABS } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const CHURN = join(import.meta.dirname, "../support/programs/slab-churn.ts");
const TYPESAFE = join(import.meta.dirname, "../support/programs/slab-typesafe.ts");
const ALIASES = join(import.meta.dirname, "../support/programs/slab-aliases.ts");

afterAll(destroyIdlePools);

/**
 * Goal: nothing is given twice, nothing lost, all pages come back.  Method: every owner stamps its objects, hands them on,
 * and others free them; at rest the whole kernel is checked, and the free pages are counted before and after.
 */
const MACHINES: [string, MachineConfig, number][] = [
  ["2 CPUs", { cpus: 2, seed: 21 }, 8_000],
  ["8 CPUs that run freely", { cpus: 8, tokens: "free", seed: 22 }, 1_500],
  ["8 CPUs on 4 nodes", { cpus: 8, nodes: 4, memory: "128MiB", seed: 23 }, 1_500],
  ["simulated time", { cpus: 4, mode: "virtual", seed: 24 }, 400],
];
/** SLUB's debugging, where a report stops the machine, and its random order. */
const DEBUGGED: [string, MachineConfig, number][] = [
  ["4 CPUs with all debugging", { cpus: 4, slabDebug: "FZPU", slabPanic: true, seed: 25 }, 300],
  ["4 CPUs, objects in random order", { cpus: 4, slabRandom: true, seed: 27 }, 1_500],
  [
    "simulated time with all debugging",
    { cpus: 4, mode: "virtual", slabDebug: "FZPU", slabPanic: true, seed: 26 },
    200,
  ],
];

test.each(
  SLABS.flatMap((slab) =>
    [...MACHINES, ...(slab === "slub" ? DEBUGGED : [])].map(
      ([name, config, operations]) =>
        [slab, name, { ...config, slab }, slab === "slub" ? operations : operations / 2] as const,
    ),
  ),
)("%s: every object is singly owned, and none is lost: %s", async (slab, name, config, operations) => {
  console.log(`slab-churn, ${slab}, ${name}, seed ${config.seed}`);
  const machine = await Machine.boot({ memory: "64MiB", checks: true, ...config });
  const freeOf = async (): Promise<number> => {
    const { fault, report } = await machine.check();
    expect(fault).toBe(null);
    return report?.freePages ?? -1;
  };
  const run = async (): Promise<void> => {
    const { fault } = await machine.run(CHURN, { operations });
    expect(fault?.message ?? "no fault").toBe("no fault");
  };
  await run();
  // The first two caches keep a page or two a node.
  const free = await freeOf();
  await run();
  expect(await freeOf()).toBe(free);
  await machine.halt();
});

/** Goal: a cache ends with the last of those that share it, and not before.  Method: all CPUs make and end the same one. */
test.each<[string, MachineConfig, number]>([
  ["4 CPUs", { cpus: 4, seed: 31 }, 400],
  ["simulated time", { cpus: 4, mode: "virtual", seed: 32 }, 60],
])("caches that share come and go: %s", async (name, config, operations) => {
  console.log(`slab-aliases, ${name}, seed ${config.seed}`);
  const machine = await Machine.boot({ memory: "64MiB", checks: true, ...config });
  const { fault } = await machine.run(ALIASES, { operations });
  expect(fault?.message ?? "no fault").toBe("no fault");
  expect((await machine.check()).fault).toBe(null);
  await machine.halt();
});

/** Goal: what a reader finds in its section stays of its type.  Method: objects are freed, with their pages, under its eyes. */
test.each<[string, MachineConfig, number]>([
  ["4 CPUs", { cpus: 4, seed: 41 }, 300],
  ["4 CPUs that run freely", { cpus: 4, tokens: "free", seed: 42 }, 300],
  ["simulated time", { cpus: 4, mode: "virtual", seed: 43 }, 8],
])("objects that readers look at stay of their type: %s", async (name, config, operations) => {
  console.log(`slab-typesafe, ${name}, seed ${config.seed}`);
  const machine = await Machine.boot({ memory: "64MiB", checks: true, ...config });
  const { fault } = await machine.run(TYPESAFE, { operations });
  expect(fault?.message ?? "no fault").toBe("no fault");
  expect((await machine.check()).fault).toBe(null);
  await machine.halt();
});
