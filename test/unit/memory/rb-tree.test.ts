/** Red-black trees against a sorted list, with a value of each subtree. */

import { expect, test } from "vitest";
import { Random } from "../../../src/memory/random.ts";
import { RbNode, RbTree } from "../../../src/memory/rb-tree.ts";
import { wordsIn } from "../../../src/memory/struct.ts";
import { soloCpu } from "../../support/solo.ts";

const NODE = wordsIn(RbNode);
const KEY = NODE;
const MAX = NODE + 1;
const STRIDE = NODE + 2;
const ROOT = 2048;
const FIRST = 4096;
const NODES = 200;

test("inserts and erases keep order, colours and the values of subtrees", () => {
  const { memory } = soloCpu();
  const seed = 5;
  console.log(`rb-tree, seed ${seed}`);
  const random = new Random(new Int32Array(16), 0);
  random.seed(seed, 0);
  const below = (node: number): number => (node === 0 ? -1 : memory.read(node + MAX));
  const tree: RbTree = new RbTree(memory, {
    compute(node) {
      const max = Math.max(memory.read(node + KEY), below(tree.left(node)), below(tree.right(node)));
      const hasChanged = memory.read(node + MAX) !== max;
      memory.write(node + MAX, max);
      return hasChanged;
    },
    copy(from, to) {
      memory.write(to + MAX, memory.read(from + MAX));
    },
  });
  const insert = (node: number, key: number): void => {
    memory.write(node + KEY, key);
    memory.write(node + MAX, -1);
    let parent = 0;
    let isLeft = false;
    for (let at = memory.read(ROOT); at !== 0; at = isLeft ? tree.left(at) : tree.right(at)) {
      parent = at;
      isLeft = key < memory.read(at + KEY);
    }
    tree.insert(ROOT, node, parent, isLeft);
    tree.propagate(node);
  };
  const unused = Array.from({ length: NODES }, (_, i) => FIRST + i * STRIDE);
  const held: number[] = [];
  for (let round = 0; round < 3000; round++) {
    const grows = random.below(1000) < (round % 1000 < 500 ? 700 : 300);
    if ((grows && unused.length > 0) || held.length === 0) {
      const node = unused.splice(random.below(unused.length), 1)[0];
      insert(node, random.below(100_000) * NODES + (node % NODES));
      held.push(node);
    } else {
      const node = held.splice(random.below(held.length), 1)[0];
      tree.erase(ROOT, node);
      unused.push(node);
    }
    if (round % 7 !== 0) continue;
    const keys = tree.check(ROOT, "tree").map((node) => memory.read(node + KEY));
    expect(keys).toEqual(held.map((node) => memory.read(node + KEY)).sort((a, b) => a - b));
  }
});

test("a tree that is not one is found", () => {
  const { memory } = soloCpu();
  const tree = new RbTree(memory, null);
  for (let i = 0; i < 7; i++) {
    let parent = 0;
    for (let at = memory.read(ROOT); at !== 0; at = tree.right(at)) parent = at;
    tree.insert(ROOT, FIRST + i * STRIDE, parent, false);
  }
  expect(tree.check(ROOT, "tree").length).toBe(7);
  const root = memory.read(ROOT);
  const left = tree.left(root);
  const word = memory.read(left + RbNode.parentColor);
  memory.write(left + RbNode.parentColor, word & ~1);
  expect(() => tree.check(ROOT, "tree")).toThrow(/R1/);
  memory.write(left + RbNode.parentColor, (FIRST << 1) | 1);
  if (root !== FIRST) expect(() => tree.check(ROOT, "tree")).toThrow(/R2/);
});
