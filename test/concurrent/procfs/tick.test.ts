/** The timer tick: while a CPU runs, its counters are folded once a second; before it sleeps for long, at once. */

import { afterAll, expect, test } from "vitest";
import { Machine } from "../../../src/machine/machine.ts";
import { destroyIdlePools } from "../../../src/machine/pool.ts";
import { projectFolder } from "../../support/folder.ts";
import * as grammar from "../../support/proc-grammar.ts";

afterAll(destroyIdlePools);

test("a CPU's deltas are folded by its own tick, a second after the last time", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "64MiB" });
  const program = `${projectFolder}/test/support/programs/tick-fold.ts`;
  const { cpuResults, interrupts, fault } = await machine.run(program, { options: { seconds: 30 } });
  expect(fault?.message ?? "no fault").toBe("no fault");
  for (const { value } of cpuResults) {
    const { foldedAfterNs, total } = value as { foldedAfterNs: number; total: number };
    expect(foldedAfterNs).toBeLessThan(Infinity);
    expect(total).toBe(2 * 2);
  }
  expect(interrupts.LOC).toBeGreaterThan(10);
  expect((await machine.check()).fault).toBe(null);
  await machine.halt();
});

test("a CPU that leaves the run folds what it has: at rest the totals are exact", async () => {
  const machine = await Machine.boot({ cpus: 4, memory: "64MiB", pageLists: "off" });
  const options = { operations: 500 };
  expect((await machine.run("page-stress", options)).fault).toBe(null);
  const counted = grammar.parseVmstat(await machine.proc("vmstat")).get("nr_free_pages");
  const { report } = await machine.check();
  expect(counted).toBe(report?.freePages);
  await machine.halt();
});

test("a machine at rest has no ticks", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "64MiB" });
  const ticks = async (): Promise<readonly number[] | undefined> => {
    const { rows } = grammar.parseInterrupts(await machine.proc("interrupts"));
    return rows.find(({ label }) => label === "LOC")?.counts;
  };
  // Longer than a tick on any host.
  await machine.run("page-repeat", { operations: 500_000 });
  const before = await ticks();
  expect(Math.min(...(before ?? [0]))).toBeGreaterThan(0);
  await machine.check();
  expect(await ticks()).toEqual(before);
  await machine.halt();
});
