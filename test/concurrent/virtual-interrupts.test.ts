/** What an interrupt costs in simulated time: each cost of the profile arrives where it belongs, exactly. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { Profile } from "../../src/schedule/virtual/profile.ts";
import { DEFAULT_PROFILE, loadProfile } from "../../src/schedule/virtual/profiles.ts";
import { emptyFolder } from "../support/folder.ts";

afterAll(destroyIdlePools);

type Cost = keyof Profile["interrupt"];

const profile = loadProfile(DEFAULT_PROFILE);

/** Cycles of a call on each of two CPUs in turn, and on both at once, with one cost `cycles` dearer. */
async function calls(cost: Cost, cycles: number): Promise<{ one: number; both: number }> {
  const file = join(emptyFolder(), "profile.json");
  const interrupt = { ...profile.interrupt, [cost]: profile.interrupt[cost] + cycles };
  writeFileSync(file, JSON.stringify({ ...profile, name: "changed", interrupt }));
  const machine = await Machine.boot({ mode: "virtual", profile: file, cpus: 3, memory: "64MiB" });
  const cyclesOf = async (workload: string): Promise<number> => {
    const { cpuResults, fault } = await machine.run(workload, { operations: 12 });
    expect(fault).toBeNull();
    const [{ elapsedNs, operations }] = cpuResults[0].phases;
    return (elapsedNs * profile.clockGHz) / operations;
  };
  const result = { one: await cyclesOf("ipi-ping"), both: await cyclesOf("ipi-broadcast") };
  await machine.halt();
  return result;
}

test("sending, the way and the entry are part of a round trip; its end delays the next only", async () => {
  const usual = await calls("send", 0);
  const { send, deliver, entry } = profile.interrupt;
  expect(usual.one).toBeGreaterThan(send + deliver + entry);
  const rise = async (cost: Cost, cycles: number): Promise<{ one: number; both: number }> => {
    const { one, both } = await calls(cost, cycles);
    return { one: one - usual.one, both: both - usual.both };
  };
  const sent = await rise("send", 1000);
  expect(sent.one).toBeCloseTo(1000, -1);
  // Two are sent one after the other, and waited for together.
  expect(sent.both).toBeCloseTo(2000, -2);
  const delivered = await rise("deliver", 1000);
  expect(delivered.one).toBeCloseTo(1000, -1);
  expect(delivered.both).toBeCloseTo(1000, -2);
  const entered = await rise("entry", 1000);
  expect(entered.one).toBeCloseTo(1000, -1);
  expect(entered.both).toBeCloseTo(1000, -2);
  // The caller's wait ends within the handler; the called CPU is ready again long before its next turn, and only uses its
  // lines at other times.
  expect(Math.abs((await rise("acknowledge", 1000)).one)).toBeLessThan(200);
  const slow = await rise("acknowledge", 10_000);
  expect(slow.one).toBeGreaterThan(2000);
  expect(slow.both).toBeGreaterThan(7000);
});
