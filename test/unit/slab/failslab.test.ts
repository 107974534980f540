/** Fault injection: which requests fail, and how the setting is written. */

import { expect, test } from "vitest";
import { parseFailslab } from "../../../src/machine/fault-settings.ts";
import { inShape } from "../../support/in-shape.ts";
import { kernelsOf } from "../../support/kernels.ts";

const CASES = new URL("../../support/shaped-failslab.ts", import.meta.url);
const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, i) => from + i);

test("what fails is what the record says", async () => {
  const found = await inShape<Record<string, { failed: number[]; counted: number }>>(
    { failslab: true },
    CASES,
    "cases",
  );
  const failed = Object.fromEntries(Object.entries(found).map(([name, { failed: f }]) => [name, f]));
  expect(failed).toEqual({
    byDefault: [],
    always: upTo(24),
    everyFifth: [4, 9, 14, 19],
    threeTimes: [0, 1, 2],
    afterSpace: upTo(24, 9),
    reclaimSpared: [],
    atomicNot: upTo(24),
    noFail: [],
    third: failed.third,
    thirdAgain: failed.third,
  });
  expect(failed.third.length).toBeGreaterThan(2);
  expect(failed.third.length).toBeLessThan(16);
  for (const { failed: f, counted } of Object.values(found)) expect(counted).toBe(f.length);
});

test("every door to object caches is covered; pages are not", async () => {
  expect(await inShape({ failslab: true }, CASES, "otherDoors")).toEqual({
    bulk: false,
    into: [],
    node: 0,
    size: 0,
    large: true,
    failures: 3,
  });
});

test("a machine without it says so", () => {
  const { kernels } = kernelsOf({ cpus: 1 });
  expect(() => kernels[0].failslab.set({ probability: 1 })).toThrow(/boot it with the setting failslab/);
});

test("the setting is Linux's boot parameter", () => {
  expect(parseFailslab("10,50,0,-1")).toEqual({
    interval: 10,
    probability: 50,
    space: 0,
    times: -1,
    ignoreGfpReclaim: true,
  });
  expect(parseFailslab("1,100,64,3,all").ignoreGfpReclaim).toBe(false);
});

test.each([
  ["1,2", 'failslab: "1,2" is not valid; valid is interval,probability,space,times'],
  ["1,2,3,4,some", "is not valid; valid is"],
  ["1,101,0,1", 'probability "101" is not valid; valid are whole numbers from 0 to 100'],
  ["0,1,0,1", 'interval "0"'],
  ["1,1,0,-2", 'times "-2"'],
  ["1,,0,1", 'probability ""'],
])("%s is refused", (text, message) => {
  expect(() => parseFailslab(text)).toThrow(message);
});
