/** page-stress: sound kernels pass, in many forms; planted corruption is noticed. */

import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { operationsOf, runOn, runWell } from "../../support/run-workload.ts";

const CORRUPTION = join(import.meta.dirname, "../../support/programs/page-corruption.ts");

afterAll(destroyIdlePools);

describe("a sound kernel passes", () => {
  const forms: [string, MachineConfig][] = [
    ["2 CPUs", { cpus: 2, seed: 1 }],
    ["8 CPUs", { cpus: 8, seed: 2 }],
    ["8 CPUs that run freely", { cpus: 8, tokens: "free", seed: 3 }],
    ["4 CPUs on 2 nodes", { cpus: 4, nodes: 2, seed: 4 }],
    ["the page lists of 6.0", { cpus: 4, pageLists: "6.0", seed: 5 }],
    ["no page lists", { cpus: 4, pageLists: "off", seed: 6 }],
    ["a small machine", { cpus: 4, memory: "8MiB", seed: 7 }],
  ];
  test.each(forms)("%s", async (_name, config) => {
    const result = await runWell(config, "page-stress", { operations: 3000 });
    expect(operationsOf(result, "stress")).toEqual(new Array(config.cpus).fill(3000));
  });

  test("with less memory than is asked for", async () => {
    await runWell({ cpus: 4, memory: "16MiB", seed: 8 }, "page-stress", {
      operations: 3000,
      options: { fraction: 1.5 },
    });
  });

  test("round after round on one machine", async () => {
    const machine = await Machine.boot({ cpus: 4, memory: "32MiB", seed: 9 });
    for (let round = 0; round < 3; round++) {
      const { fault } = await machine.run("page-stress", { operations: 1000 });
      expect(fault?.message ?? "no fault", `round ${round}`).toBe("no fault");
      expect((await machine.check()).fault).toBe(null);
    }
    await machine.halt();
  });
});

describe("a planted defect is noticed", () => {
  test("a frame that is given out twice", async () => {
    const { fault } = await runOn({ cpus: 2 }, CORRUPTION, { operations: 5000, options: { how: "twice" } });
    expect(fault?.message).toMatch(/the stamp of pfn \d+ is not its owner's|is not zero|Bad page state/);
  });

  test("a word of somebody's page that is overwritten", async () => {
    const { fault } = await runOn({ cpus: 2 }, CORRUPTION, {
      operations: 5000,
      options: { how: "scribble" },
    });
    expect(fault?.message).toMatch(/the stamp of pfn \d+ is not its owner's/);
  });

  test("a block that never comes back", async () => {
    const { fault } = await runOn({ cpus: 2 }, CORRUPTION, { operations: 5000, options: { how: "lost" } });
    expect(fault?.message).toMatch(/^\d+ pages are free after the run, \d+ were before it$/);
  });
});
