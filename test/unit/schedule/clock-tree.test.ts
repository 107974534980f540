import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClockTree, clockTreeBytes } from "../../../src/schedule/virtual/clock-tree.ts";

const clock = fc.oneof(
  fc.constant(Infinity),
  fc.integer({ min: 0, max: 20 }),
  fc.double({ min: 0, max: 20, noNaN: true }),
);
const history = fc
  .integer({ min: 1, max: 70 })
  .chain((cpus) =>
    fc.tuple(
      fc.constant(cpus),
      fc.array(fc.tuple(fc.integer({ min: 0, max: cpus - 1 }), clock), { maxLength: 200 }),
    ),
  );

function treeOf(cpus: number): ClockTree {
  const tree = new ClockTree(new SharedArrayBuffer(clockTreeBytes(cpus)), cpus);
  tree.format();
  return tree;
}

describe("clock tree", () => {
  test("after any changes it names the smallest clock, the lower CPU of equal ones, and the clock that comes next", () => {
    fc.assert(
      fc.property(history, ([cpus, changes]) => {
        const tree = treeOf(cpus);
        const clocks = new Array<number>(cpus).fill(Infinity);
        for (const [cpu, value] of changes) {
          tree.set(cpu, value);
          clocks[cpu] = value;
          const smallest = Math.min(...clocks);
          const first = tree.first;
          expect(tree.clockOf(first)).toBe(smallest);
          if (smallest < Infinity) expect(first).toBe(clocks.indexOf(smallest));
          expect(tree.secondClock()).toBe(
            Math.min(Infinity, ...clocks.filter((_, other) => other !== first)),
          );
        }
        for (let cpu = 0; cpu < cpus; cpu++) expect(tree.clockOf(cpu)).toBe(clocks[cpu]);
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  test("another view of the buffer sees the same", () => {
    const buffer = new SharedArrayBuffer(clockTreeBytes(5));
    const mine = new ClockTree(buffer, 5);
    mine.format();
    mine.set(4, 7);
    mine.set(2, 9);
    const theirs = new ClockTree(buffer, 5);
    expect([theirs.first, theirs.secondClock()]).toEqual([4, 9]);
  });

  test("forgets everything when formatted", () => {
    const tree = treeOf(3);
    tree.set(1, 4);
    tree.format();
    expect(tree.clockOf(tree.first)).toBe(Infinity);
    expect(tree.secondClock()).toBe(Infinity);
  });
});
