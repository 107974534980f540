/**
 * CPUs look up in a maple tree that others change under a mutex.  Fixed entries are never stored to: each look-up must find
 * them, with their exact ranges.  Every other entry is the number of its first index, so what a look-up returns must
 * fit the range that it says.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { LockClass } from "../../../src/sync/lock-class.ts";

const TREE = 32;
const BLOCKS = 120;
/** Of a block of 100 indices the first 20 are a fixed entry. */
const BLOCK = 100;
const FIXED = 20;

const fixedEntry = (block: number): number => 1_000_000 + block;

export function setup({ pages, mutexes, processes }: Kernel): number {
  const at = pages.getZeroedPage(Gfp.KERNEL);
  mutexes.format(at, LockClass.TEST_A);
  processes.start();
  processes.mapleTrees.format(at + TREE);
  for (let block = 0; block < BLOCKS; block++) {
    const first = block * BLOCK;
    processes.mapleTrees.store(
      at + TREE,
      { first, last: first + FIXED - 1, entry: fixedEntry(block) },
      Gfp.KERNEL,
    );
  }
  return at;
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  const { cpu, mutexes } = kernel;
  const at = shared as number;
  for (let done = 0; kernel.more(done); done++) {
    if (cpu.random.below(4) === 0) {
      mutexes.lock(at);
      change(kernel, at + TREE);
      mutexes.unlock(at);
    } else {
      for (let i = 0; i < 8; i++) look(kernel, at + TREE);
    }
    cpu.endOperation();
  }
}

/** Stores to a random range between two fixed entries, or over several gaps. */
function change({ cpu, processes }: Kernel, tree: number): void {
  const from = cpu.random.below(BLOCKS) * BLOCK + FIXED;
  const first = from + cpu.random.below(BLOCK - FIXED);
  const last = first + cpu.random.below(from + BLOCK - FIXED - first);
  const entry = cpu.random.below(3) === 0 ? 0 : first;
  if (!processes.mapleTrees.store(tree, { first, last, entry }, Gfp.KERNEL))
    throw new Error("no memory for a node");
}

function look({ cpu, rcu, processes }: Kernel, tree: number): void {
  const block = cpu.random.below(BLOCKS);
  const index = block * BLOCK + cpu.random.below(BLOCK);
  rcu.readLock();
  const entry = processes.mapleTrees.at(tree, index);
  const { first, last } = processes.mapleTrees;
  rcu.readUnlock();
  const said = `cpu ${cpu.id}: index ${index} has entry ${entry} over ${first} to ${last}`;
  if (index < first || index > last) throw new Error(said);
  if (index < block * BLOCK + FIXED) {
    if (entry !== fixedEntry(block) || first !== block * BLOCK || last !== first + FIXED - 1)
      throw new Error(said);
  } else if (entry > first || (entry !== 0 && entry < block * BLOCK)) throw new Error(said);
}

export function check(
  { rcu, slabs, processes, cpu }: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const tree = (shared as number) + TREE;
  const entries = processes.mapleTrees.check(tree);
  for (let block = 0; block < BLOCKS; block++) {
    const fixed = entries.find(({ entry }) => entry === fixedEntry(block));
    if (fixed?.first !== block * BLOCK) throw new Error(`the fixed entry of block ${block} is gone`);
  }
  processes.mapleTrees.destroy(tree);
  rcu.barrier();
  cpu.endOperation();
  const nodes = checkSlabs(slabs).find(({ name }) => name === "maple_node");
  if (nodes?.active !== 0) throw new Error(`${nodes?.active} nodes are left`);
}
