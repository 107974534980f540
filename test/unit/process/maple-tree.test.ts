import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../../src/memory/random.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { MAX_INDEX } from "../../../src/process/maple-node.ts";
import type { MapleEntry, MapleTrees } from "../../../src/process/maple-tree.ts";
import { kernelsOf } from "../../support/kernels.ts";

interface Tree {
  readonly trees: MapleTrees;
  readonly at: Pointer;
  store(first: number, last: number, entry: Pointer): void;
  entries(): MapleEntry[];
  /** Nodes that are given out, once readers have gone. */
  nodes(): number;
}

function newTree(): Tree {
  const machine = kernelsOf({ cpus: 1 });
  const [kernel] = machine.kernels;
  const { processes, slabs, pages, cpu } = kernel;
  const trees = processes.mapleTrees;
  processes.start();
  const at = pages.getZeroedPage(Gfp.KERNEL);
  trees.format(at);
  return {
    trees,
    at,
    store: (first, last, entry) =>
      void expect(trees.store(at, { first, last, entry }, Gfp.KERNEL)).toBe(true),
    entries: () => trees.check(at),
    nodes: () => {
      kernel.rcu.barrier();
      cpu.endOperation();
      return checkSlabs(slabs).find(({ name }) => name === "maple_node")!.active;
    },
  };
}

/** A tree over indices 0 to INDICES - 1, as an array of entries. */
const INDICES = 220;

function expectModel({ trees, at, entries }: Tree, model: readonly Pointer[]): void {
  const flat = new Array<Pointer>(INDICES).fill(0);
  for (const { first, last, entry } of entries())
    for (let i = first; i <= Math.min(last, INDICES - 1); i++) flat[i] = entry;
  expect(flat).toEqual(model);
  for (let index = 0; index < INDICES; index += 7) {
    expect(trees.at(at, index)).toBe(model[index]);
    const next = model.findIndex((entry, i) => i >= index && entry !== 0);
    expect(trees.find(at, index)).toBe(next < 0 ? 0 : model[next]);
    const previous = model.findLastIndex((entry, i) => i <= index && entry !== 0);
    expect(trees.findBack(at, index)).toBe(previous < 0 ? 0 : model[previous]);
  }
}

function expectAreas({ trees, at }: Tree, model: readonly Pointer[], size: number): void {
  const [min, max] = [5, INDICES - 9];
  const fits = (from: number): boolean => model.slice(from, from + size).every((entry) => entry === 0);
  const places = Array.from({ length: max - min + 2 - size }, (_, i) => min + i).filter(fits);
  expect(trees.emptyArea(at, min, max, size)).toBe(places[0] ?? -1);
  expect(trees.emptyAreaBack(at, min, max, size)).toBe(places.at(-1) ?? -1);
}

const range = fc.tuple(fc.nat(INDICES - 1), fc.nat(30), fc.nat(3)).map(([first, length, kind]) => ({
  first,
  last: Math.min(first + length, INDICES - 1),
  isErase: kind === 0,
}));

describe("against an array", () => {
  test("any sequence of stores and erasures", () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 120 }), (ranges) => {
        const tree = newTree();
        const model = new Array<Pointer>(INDICES).fill(0);
        for (const [i, { first, last, isErase }] of ranges.entries()) {
          const entry = isErase ? 0 : 64 * (i + 1);
          tree.store(first, last, entry);
          model.fill(entry, first, last + 1);
          tree.entries();
        }
        expectModel(tree, model);
        for (const size of [1, 3, 12, 40]) expectAreas(tree, model, size);
      }),
      { numRuns: 15 },
    );
  });

  test.each([1, 2, 3])("a thousand short ranges come in random order and go again, seed %i", (seed) => {
    const random = new Random().seed(seed);
    const tree = newTree();
    const order = Array.from({ length: 1000 }, (_, i) => i);
    const shuffle = (): void => {
      for (let i = order.length - 1; i > 0; i--) {
        const j = random.below(i + 1);
        [order[i], order[j]] = [order[j], order[i]];
      }
    };
    shuffle();
    for (const i of order) tree.store(100 * i, 100 * i + 59, i + 1);
    expect(tree.entries()).toEqual(
      order.toSorted((a, b) => a - b).map((i) => ({ first: 100 * i, last: 100 * i + 59, entry: i + 1 })),
    );
    expect(tree.nodes()).toBeGreaterThan(130);
    shuffle();
    for (const i of order.slice(100)) tree.store(100 * i, 100 * i + 59, 0);
    expect(tree.entries().map(({ entry }) => entry - 1)).toEqual(
      order.slice(0, 100).toSorted((a, b) => a - b),
    );
    for (const i of order.slice(0, 100)) tree.store(100 * i, 100 * i + 59, 0);
    expect(tree.entries()).toEqual([]);
    expect(tree.nodes()).toBe(0);
  });
});

describe("one store", () => {
  test("over everything leaves one leaf", () => {
    const tree = newTree();
    for (let i = 0; i < 300; i++) tree.store(10 * i, 10 * i + 4, i + 1);
    tree.store(0, MAX_INDEX, 77);
    expect(tree.entries()).toEqual([{ first: 0, last: MAX_INDEX, entry: 77 }]);
    expect(tree.nodes()).toBe(1);
  });

  test("of what is there already changes nothing, and of another entry over the same range one word", () => {
    const tree = newTree();
    for (let i = 0; i < 40; i++) tree.store(10 * i, 10 * i + 4, i + 1);
    const { trees, at } = tree;
    expect(trees.reserve(at, 30, 34, 4, Gfp.KERNEL)).toEqual({ leaf: null, plan: null, nodes: [] });
    expect(trees.reserve(at, 36, 38, 0, Gfp.KERNEL)).toEqual({ leaf: null, plan: null, nodes: [] });
    expect(trees.reserve(at, 30, 34, 99, Gfp.KERNEL)).toMatchObject({
      plan: { top: 99, dead: [] },
      nodes: [],
    });
  });

  test("that is given up leaves the tree and the cache as they were", () => {
    const tree = newTree();
    for (let i = 0; i < 40; i++) tree.store(10 * i, 10 * i + 4, i + 1);
    const [entries, nodes] = [tree.entries(), tree.nodes()];
    const reserved = tree.trees.reserve(tree.at, 17, 222, 5, Gfp.KERNEL)!;
    expect(reserved.nodes.length).toBeGreaterThan(0);
    tree.trees.abandon(reserved);
    expect(tree.entries()).toEqual(entries);
    expect(tree.nodes()).toBe(nodes);
  });

  test.each([
    [-1, 4],
    [5, 4],
    [0, MAX_INDEX + 1],
  ])("of %i to %i is refused", (first, last) => {
    const tree = newTree();
    expect(() => tree.store(first, last, 1)).toThrow(
      `range ${first} to ${last}: valid are 0 to ${MAX_INDEX}`,
    );
  });
});

test("a tree that ends gives all its nodes back", () => {
  const tree = newTree();
  for (let i = 0; i < 2000; i++) tree.store(10 * i, 10 * i + 4, i + 1);
  tree.trees.destroy(tree.at);
  expect(tree.nodes()).toBe(0);
  expect(tree.trees.find(tree.at, 0)).toBe(0);
});
