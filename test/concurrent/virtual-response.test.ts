import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { Profile } from "../../src/schedule/virtual/profile.ts";
import { loadProfile } from "../../src/schedule/virtual/profiles.ts";
import { emptyFolder } from "../support/folder.ts";

/** A change of a cause moves the curves by as much as the cause comes in them, and only where it must. */

afterAll(destroyIdlePools);

const XEON = loadProfile("xeon-gold-5320");
const NS_PER_CYCLE = 1 / XEON.clockGHz;
let files = 0;

function profileWith(work: Readonly<Record<string, number>>, marked = XEON.transfer.cluster.marked): string {
  const { cluster, socket } = XEON.transfer;
  const nodes = XEON.transfer.nodes.map((node) => ({ ...node, marked: Math.max(node.marked, marked) }));
  const transfer = {
    ...XEON.transfer,
    nodes,
    cluster: { ...cluster, marked },
    socket: { ...socket, marked },
  };
  const profile: Profile = { ...XEON, work: { ...XEON.work, ...work }, transfer };
  const file = join(emptyFolder(), `profile-${files++}.json`);
  writeFileSync(file, JSON.stringify(profile));
  return file;
}

interface Costs {
  readonly alloc: number;
  readonly free: number;
}

/** Nanoseconds of an allocation and of a free in page-bulk, mean over CPUs. */
async function bulk(cpus: number, config: object): Promise<Costs> {
  const machine = await Machine.boot({
    cpus,
    memory: `${32 + 16 * cpus}MiB`,
    mode: "virtual",
    pageLists: "6.0",
    pcpBatch: 63,
    pcpHigh: 500,
    ...config,
  });
  const result = await machine.run("page-bulk", { operations: 1 });
  expect(result.fault).toBeNull();
  await machine.halt();
  const mean = (phase: number): number =>
    result.cpuResults.reduce(
      (sum, { phases }) => sum + phases[phase].elapsedNs / phases[phase].operations,
      0,
    ) / cpus;
  return { alloc: mean(0), free: mean(1) };
}

const CPUS = 6;
const MORE = 60;

describe("what a change of a cause does", () => {
  let one: Costs;
  let many: Costs;
  beforeAll(async () => {
    one = await bulk(1, {});
    many = await bulk(CPUS, {});
  });

  test("work under the zone's lock: once on one CPU, once for every CPU in the queue on several", async () => {
    const slow = profileWith({ LIST_DRAIN: XEON.work.LIST_DRAIN + MORE });
    const [oneSlow, manySlow] = [await bulk(1, { profile: slow }), await bulk(CPUS, { profile: slow })];
    const expected = MORE * NS_PER_CYCLE;
    expect((oneSlow.free - one.free) / expected).toBeCloseTo(1, 1);
    expect((manySlow.free - many.free) / expected).toBeGreaterThan(0.9 * CPUS);
    expect((manySlow.free - many.free) / expected).toBeLessThan(1.1 * CPUS);
    expect(oneSlow.alloc).toBe(one.alloc);
  });

  test("work outside the lock: counts on one CPU, and is hidden behind the queue on several", async () => {
    const slow = profileWith({ PAGE_FREE: XEON.work.PAGE_FREE + MORE });
    const [oneSlow, manySlow] = [await bulk(1, { profile: slow }), await bulk(CPUS, { profile: slow })];
    const expected = MORE * NS_PER_CYCLE;
    expect((oneSlow.free - one.free) / expected).toBeCloseTo(1, 2);
    expect(Math.abs(manySlow.free - many.free) / expected).toBeLessThan(0.5);
  });

  test("half the batch: twice the refills, each with a hand-over of the lock", async () => {
    const far = profileWith({}, 3000);
    const lost = (await bulk(CPUS, { pcpBatch: 31 })).alloc - many.alloc;
    const whole = await bulk(CPUS, { profile: far });
    const lostFar = (await bulk(CPUS, { profile: far, pcpBatch: 31 })).alloc - whole.alloc;
    expect(lost).toBeGreaterThan(0);
    // One more hand-over each 63 pages, each of some marked transfers, for every CPU in the queue.
    const least = (3000 - XEON.transfer.cluster.marked) * NS_PER_CYCLE * (1 / 31 - 1 / 63) * CPUS;
    expect(lostFar - lost).toBeGreaterThan(least);
    expect(lostFar - lost).toBeLessThan(6 * least);
  });
});
