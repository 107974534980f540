/** References, remote drains and counters under real threads; random work on all orders is page-stress.test.ts. */

import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MachineConfig } from "../../src/machine/config.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { runWell } from "../support/run-workload.ts";

const REFERENCES = join(import.meta.dirname, "../support/programs/page-references.ts");

afterAll(destroyIdlePools);

test.each<[string, MachineConfig]>([
  ["2 CPUs", { cpus: 2, seed: 11 }],
  ["8 CPUs that run freely", { cpus: 8, tokens: "free", seed: 12 }],
  ["8 CPUs on 4 nodes", { cpus: 8, nodes: 4, memory: "128MiB", seed: 13 }],
  ["no page lists", { cpus: 4, pageLists: "off", seed: 14 }],
])("every page is freed by its last reference, once, and no count is lost: %s", async (_name, config) => {
  const result = await runWell(config, REFERENCES, { operations: 20_000 });
  expect(result.cpuResults.map((cpu) => cpu.value)).toEqual(new Array(config.cpus).fill(20_000));
});
