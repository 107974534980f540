/** Page lists under 6.0 rules and without lists; and each mutant of the page allocator does what its name says. */

import { describe, expect, test } from "vitest";
import type { Shape } from "../../../src/memory/shape.ts";
import { inShape } from "../../support/in-shape.ts";

const lists = new URL("../../support/shaped-lists.ts", import.meta.url);
const mutants = new URL("../../support/shaped-mutants.ts", import.meta.url);
const run = <T>(name: string, shape: Partial<Shape> = {}): Promise<T> => inShape<T>(shape, lists, name);

describe("6.0 rules", () => {
  const shape = { pageLists: "6.0" } as const;

  test("each bulk free without an allocation between doubles the next, while a batch stays", async () => {
    expect((await run<number[]>("bulkFrees", shape)).slice(0, 6)).toEqual([4, 8, 16, 32, 56, 56]);
    expect((await run<number[]>("bulkFrees")).slice(0, 2)).toEqual([56, 56]);
  });

  test("every refill is one batch", async () => {
    expect(await run("refills", shape)).toEqual([4, 4, 4, 4]);
    expect(await run("refills")).toEqual([4, 8, 16, 32]);
  });

  test("large blocks in a row leave nothing on the list", async () => {
    expect(await run("freesOfOrder2", shape)).toEqual([0, 0, 0]);
    expect(await run("freesOfOrder2")).toEqual([4, 0, 0]);
  });

  test("a block is looked at when it comes to the list, all its frames and its neighbours'", async () => {
    expect(await run("badTailAtRefill", shape)).toBe("BUG: Bad page state  pfn:00407");
    expect(await run("badTailAtRefill")).toBe("");
  });
});

test("without page lists every pair goes to the zone", async () => {
  expect(await run("listedAfterPairs", { pageLists: "off" })).toEqual([0, 0, 0, 0]);
  expect((await run<number[]>("listedAfterPairs")).every((count) => count > 0)).toBe(true);
});

describe("mutants", () => {
  const sound = <T>(name: string): Promise<T> => inShape<T>({}, mutants, name);
  const mutated = <T>(name: string, mutant: string): Promise<T> =>
    inShape<T>({ mutants: [mutant] }, mutants, name);

  test("buddy-merge-no-recheck merges blocks of different orders", async () => {
    expect(await sound("mergeUnchecked")).toBe("");
    expect(await mutated("mergeUnchecked", "buddy-merge-no-recheck")).not.toBe("");
  });

  test("buddy-free-unlocked frees without the zone's lock", async () => {
    expect(await sound("freeTakesLock")).toBe(true);
    expect(await mutated("freeTakesLock", "buddy-free-unlocked")).toBe(false);
  });

  test("buddy-free-type-unlocked reads the pageblock's type too early", async () => {
    expect(await sound("typeReadUnderLock")).toBe(true);
    expect(await mutated("typeReadUnderLock", "buddy-free-type-unlocked")).toBe(false);
  });

  test("pcp-drain-unlocked drains without the list's lock", async () => {
    expect(await sound("drainTakesLock")).toBe(true);
    expect(await mutated("drainTakesLock", "pcp-drain-unlocked")).toBe(false);
  });

  test("pcp-own-unlocked leaves the list's lock alone", async () => {
    expect(await sound("takeTriesLock")).toBe(true);
    expect(await mutated("takeTriesLock", "pcp-own-unlocked")).toBe(false);
  });

  test("vmstat-fold-lost folds by a plain read and write", async () => {
    expect(await sound("foldIsMarked")).toBe(true);
    expect(await mutated("foldIsMarked", "vmstat-fold-lost")).toBe(false);
  });

  test("page-put-plain drops a reference by a plain read and write", async () => {
    expect(await sound("putIsMarked")).toBe(true);
    expect(await mutated("putIsMarked", "page-put-plain")).toBe(false);
  });
});
