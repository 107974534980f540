/** What happens at which simulated time, and who is named when nothing can happen any more. */

import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";
import type { ProgramOptions, RunResult } from "../../src/machine/program.ts";
import { DEFAULT_PROFILE, loadProfile } from "../../src/schedule/virtual/profiles.ts";
import type { Seen } from "../support/programs/simulated-waits.ts";

const PROGRAM = fileURLToPath(new URL("../support/programs/simulated-waits.ts", import.meta.url));
const { clockGHz, interrupt, transfer } = loadProfile(DEFAULT_PROFILE);
const ns = (cycles: number): number => cycles / clockGHz;

afterAll(destroyIdlePools);

async function simulate(options: ProgramOptions, cpus = 2): Promise<RunResult> {
  const machine = await Machine.boot({ cpus, memory: "16MiB", mode: "virtual" });
  const result = await machine.run(PROGRAM, { options });
  await machine.halt();
  return result;
}

async function seenBy(options: ProgramOptions, cpus = 2): Promise<Seen[]> {
  const { fault, cpuResults } = await simulate(options, cpus);
  expect(fault).toBeNull();
  return cpuResults.map(({ value }) => value as Seen);
}

/** The line of the report that follows `cpu`'s own and says what lock it waits for. */
const waitOf = (report: string, cpu: number): string =>
  report
    .slice(report.indexOf(`cpu ${cpu}: `))
    .split("\n")[1]
    .trim();

describe("simulated times", () => {
  test("a timed wait ends at its deadline, which nobody had to watch", async () => {
    const [{ ok, beganNs, endedNs }] = await seenBy({ how: "timeout" });
    expect(ok).toBe(false);
    expect(endedNs - beganNs).toBeGreaterThanOrEqual(5000);
    expect(endedNs - beganNs).toBeLessThan(5010);
  });

  test("a sleeper goes on when the store that ends its wait happens, one transfer later", async () => {
    const [storer, sleeper] = await seenBy({ how: "wake" });
    expect(sleeper.ok).toBe(true);
    expect(storer.endedNs - storer.beganNs).toBeGreaterThan(20_000);
    const late = sleeper.endedNs - storer.endedNs;
    expect(late).toBeGreaterThan(0);
    expect(late).toBeLessThan(ns(transfer.socket.marked) + 1e-6);
  });

  test("an interrupt reaches a sleeping CPU at the time of sending, delivery and entry", async () => {
    const [sender, target] = await seenBy({ how: "interrupt" });
    const { send, deliver, entry } = interrupt;
    expect(target.interruptNs - (sender.beganNs + 20_000)).toBeCloseTo(ns(send + deliver + entry), 3);
  });

  test("each CPU ticks every 4 ms of its simulated time", async () => {
    const { fault, interrupts } = await simulate({ how: "ticks" });
    expect(fault).toBeNull();
    expect(interrupts.LOC).toBe(2 * 5);
  });

  test("CPUs that sleep cost the host nothing: as many hand-overs, however long the other one works", async () => {
    const handOvers = [];
    for (const rounds of [100, 50_000]) {
      const { cpuResults } = await simulate({ how: "idle", rounds }, 8);
      handOvers.push(cpuResults.reduce((sum, { slices }) => sum + slices, 0));
    }
    expect(handOvers[0]).toBeGreaterThan(7);
    expect(handOvers[1]).toBe(handOvers[0]);
  });
});

describe("a deadlock", () => {
  test("names the spinlocks of a cycle and who holds them", async () => {
    const { fault } = await simulate({ how: "ab-ba" });
    expect(fault?.kind).toBe("deadlock");
    expect(fault?.message).toMatch(/^deadlock at cycle \d+: no CPU can run$/);
    const report = fault?.report ?? "";
    expect(waitOf(report, 0)).toMatch(/^waits for lock test_b at 0x[0-9a-f]+, held by cpu 1, whose word is/);
    expect(waitOf(report, 1)).toMatch(/^waits for lock test_a at 0x[0-9a-f]+, held by cpu 0, whose word is/);
    expect(report).toMatch(/^cpu 0: waiting, /m);
    expect(report).toMatch(/^cpu 1: waiting, /m);
  });

  test("names a mutex and its owner, and what the owner waits for", async () => {
    const report = (await simulate({ how: "mutex" })).fault?.report ?? "";
    expect(waitOf(report, 0)).toMatch(
      /^waits while \(word 0x[0-9a-f]+ & 0xffffffff\) == 0x0; the word is 0x0$/,
    );
    expect(waitOf(report, 1)).toMatch(/^waits for lock test_c at 0x[0-9a-f]+, held by cpu 0, /);
  });

  test("is the same at every run, to the cycle", async () => {
    const faults = [(await simulate({ how: "ab-ba" })).fault, (await simulate({ how: "ab-ba" })).fault];
    expect(faults[1]?.message).toBe(faults[0]?.message);
    expect(faults[1]?.report).toBe(faults[0]?.report);
  });
});
