/** The same configuration, seed and profile give the same run, whatever the host does meanwhile. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { differencesOf } from "../../src/experiment/audit.ts";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import { workloadNames } from "../../src/machine/resolve-program.ts";
import { type SimulatedRun, simulatedFacts } from "../support/simulated-facts.ts";

const SEED = 7;
/** Three CPUs meet at every kind of lock, and the third finds a queue. */
const machine = { cpus: 3, seed: SEED };
/** Options that keep workloads short which have a length of their own, and small which want more than a small machine. */
const SHORT: Readonly<Record<string, Record<string, number>>> = {
  "core-latency": { trips: 8, batches: 1 },
  malloc1: { size: 262_144 },
  "page-bulk": { fraction: 0.2 },
  "page-rand": { fraction: 0.2 },
  tlb_reach: { pages: 512 },
  "vmalloc-mix": { loops: 4, kept: 10 },
};

const shortRun = (program: string, seed = SEED): SimulatedRun => ({
  program,
  machine: { ...machine, seed },
  run: { operations: 12, options: SHORT[program] ?? {} },
});

afterAll(destroyIdlePools);

describe("the same run twice does the same", () => {
  const disturbance = new AbortController();
  let disturbed: Promise<unknown>;
  let burner: Machine;

  beforeAll(async () => {
    burner = await Machine.boot({ cpus: 1, memory: "16MiB" });
    disturbed = burner.run("page-repeat", { signal: disturbance.signal });
  });
  afterAll(async () => {
    disturbance.abort();
    await disturbed;
    await burner.halt();
  });

  test.each(workloadNames())(`%s, pinned and not, beside a busy machine (seed ${SEED})`, async (program) => {
    const first = await simulatedFacts(shortRun(program));
    const other = shortRun(program);
    const second = await simulatedFacts({ ...other, run: { ...other.run, pin: false } });
    expect(differencesOf(first, second)).toEqual([]);
  });
});

describe("a run depends on its configuration alone", () => {
  test("on threads that are new, and on threads that have run other programs", async () => {
    await destroyIdlePools();
    const fresh = await simulatedFacts(shortRun("lock-stress"));
    await simulatedFacts(shortRun("page-stress"));
    expect(differencesOf(fresh, await simulatedFacts(shortRun("lock-stress")))).toEqual([]);
  });

  test("with another machine of its kind in the same process", async () => {
    const alone = await simulatedFacts(shortRun("page-stress"));
    const [one, two, between] = await Promise.all([
      simulatedFacts(shortRun("page-stress")),
      simulatedFacts(shortRun("page-stress")),
      simulatedFacts(shortRun("page-stress", SEED + 1)),
    ]);
    expect(differencesOf(alone, one)).toEqual([]);
    expect(differencesOf(alone, two)).toEqual([]);
    expect(differencesOf(alone, between)).not.toEqual([]);
  });
});
