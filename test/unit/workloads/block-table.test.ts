import { expect, test } from "vitest";
import { Random } from "../../../src/memory/random.ts";
import { BlockTable } from "../../../src/workloads/parts/block-table.ts";
import { soloCpu } from "../../support/solo.ts";

const ENTRIES = 2500;

function shuffled(seed: number): number[] {
  const table = new BlockTable(soloCpu().memory, [5, 9, 3]);
  for (let i = 0; i < ENTRIES; i++) table.set(i, 1000 + i);
  table.shuffle(ENTRIES, new Random().seed(seed));
  return Array.from({ length: ENTRIES }, (_, i) => table.get(i));
}

test("a shuffle keeps every block, moves most of them, and repeats with its seed", () => {
  const blocks = shuffled(7);
  expect(blocks.toSorted((a, b) => a - b)).toEqual(Array.from({ length: ENTRIES }, (_, i) => 1000 + i));
  expect(blocks.filter((pfn, i) => pfn === 1000 + i).length).toBeLessThan(20);
  expect(shuffled(7)).toEqual(blocks);
  expect(shuffled(8)).not.toEqual(blocks);
});
