/** Object caches read by the main thread, without a lock: exact at rest, sane while CPUs work. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { parseSlabinfo } from "../support/slab-grammar.ts";

const LEAK = join(import.meta.dirname, "../support/programs/leak.ts");

afterAll(destroyIdlePools);

const SMALL: MachineConfig = { cpus: 3, memory: "64MiB" };

test.each<[string, MachineConfig]>([
  ["SLUB", { ...SMALL, nodes: 2 }],
  ["SLAB", { ...SMALL, slab: "slab" }],
  ["without padding", { ...SMALL, padding: false }],
  ["simulated time", { ...SMALL, mode: "virtual" }],
])("at rest what is read is what slabinfo says: %s", async (_name, config) => {
  const machine = await Machine.boot({ ...config, seed: 61 });
  expect(machine.sampleSlabs()).toEqual([]);
  const { fault } = await machine.run(LEAK, { operations: 200 });
  expect(fault).toBe(null);
  const rows = parseSlabinfo(await machine.proc("slabinfo")).toReversed();
  const expected = rows.map(({ name, objectBytes, info }) => ({
    name,
    objectBytes,
    objectsPerSlab: info.objectsPerSlab,
    pagesPerSlab: 1 << info.order,
    activeObjects: info.activeObjects,
    objects: info.objects,
    activeSlabs: info.activeSlabs,
    slabs: info.slabs,
  }));
  expect(machine.sampleSlabs()).toEqual(expected);
  expect(expected.find(({ name }) => name === "kmalloc-64")?.activeObjects).toBeGreaterThanOrEqual(60);
  await machine.halt();
});

test("while CPUs make and end caches and work, every look is of caches that make sense", async () => {
  const machine = await Machine.boot({ ...SMALL, seed: 62 });
  const end = new AbortController();
  const running = machine.run("slab-churn-caches", { signal: end.signal });
  const names = new Set<string>();
  let looks = 0;
  const giveUp = performance.now() + 20_000;
  while (looks < 400 || (names.size < 3 && performance.now() < giveUp)) {
    for (const { name, objects, activeObjects, slabs, activeSlabs } of machine.sampleSlabs()) {
      names.add(name);
      if (activeObjects < 0 || objects < 0 || slabs < 0 || activeSlabs > slabs || name === "")
        throw new Error(`${name}: ${activeObjects} of ${objects} objects, ${activeSlabs} of ${slabs} slabs`);
    }
    looks++;
    await new Promise((done) => setImmediate(done));
  }
  end.abort();
  const { fault } = await running;
  expect(fault).toBe(null);
  expect([...names]).toEqual(expect.arrayContaining(["kmem_cache", "kmem_cache_node"]));
  await machine.halt();
});
