/** The audit's comparison: what may differ between two runs of one seed, and what may not. */
import { expect, test } from "vitest";
import { differencesOf, factsOf } from "../../../src/experiment/audit.ts";
import type { RunResult } from "../../../src/machine/program.ts";
import { evenShares, lockResult, runResult } from "../../support/run-results.ts";

const facts = (changes: Partial<RunResult> = {}, digest = "d1") =>
  factsOf({ result: runResult(evenShares(2, 100, 1e6), { locks: [lockResult("a")], ...changes }), digest });

test("what only the host decides is no difference", () => {
  expect(differencesOf(facts(), facts({ wallMs: 99, pinned: false, hostCores: 64 }))).toEqual([]);
});

test("clocks, statistics, interrupts and RAM are compared, and named", () => {
  const { cpuResults } = runResult(evenShares(2, 100, 1e6));
  const late = cpuResults.map((cpu) => (cpu.cpu === 1 ? { ...cpu, elapsedNs: 1e6 + 1 } : cpu));
  expect(differencesOf(facts(), facts({ cpuResults: late }))).toEqual([
    "CPU 1: clock, ns: 1000000, the second time 1000001",
  ]);
  const [lock] = differencesOf(facts(), facts({ locks: [lockResult("a", { contended: 11 })] }));
  expect(lock).toMatch(/^lock a: .*"contended":10.*, the second time .*"contended":11/);
  expect(differencesOf(facts(), facts({ locks: [] }))[0]).toMatch(/^lock a: .*, the second time nothing$/);
  expect(differencesOf(facts(), facts({ interrupts: { LOC: 1 } }))).toEqual([
    'interrupts: {}, the second time {"LOC":1}',
  ]);
  expect(differencesOf(facts(), facts({}, "d2"))).toEqual(['RAM and CPU states: "d1", the second time "d2"']);
});

test("of many differences the first are told, and how many more there are", () => {
  const many = (value: number) => new Map(Array.from({ length: 20 }, (_, i) => [`fact ${i}`, value]));
  const told = differencesOf(many(1), many(2));
  expect(told).toHaveLength(9);
  expect(told[8]).toBe("and 12 more");
});
