/**
 * A CPU looks entries up in a maple tree while another stores to the leaf in which they are.  The entries that it asks for
 * are never stored to, so it must find them, with their ranges.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { MapleTree } from "../process/maple-readers.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "maple-lookup",
  summary: "look-ups in a tree of ranges whose nodes are replaced under them find what was never stored to",
  cpus: 2,
  mutants: ["maple-no-dead-check", "maple-free-before-grace"],
};

/** The entries that are looked up: in the leaf's first slot, and between those that come and go. */
const FIXED = [
  { first: 0, last: 9, entry: 101 },
  { first: 50, last: 59, entry: 102 },
];
const BEFORE = { first: 20, last: 29, entry: 201 };
const AFTER = { first: 80, last: 89, entry: 202 };
const LOOKS = 2;

export function setup({ pages, processes }: Kernel): Pointer {
  const tree = pages.getZeroedPage(Gfp.KERNEL);
  processes.start();
  processes.mapleTrees.format(tree);
  for (const entry of [...FIXED, BEFORE]) processes.mapleTrees.store(tree, entry, Gfp.KERNEL);
  return tree;
}

export function attach({ regions }: Kernel, _options: object, tree: Pointer): void {
  regions.add("tree", tree, MapleTree);
}

export function run({ cpu, rcu, processes }: Kernel, _options: object, tree: Pointer): void {
  if (cpu.id === 0) {
    processes.mapleTrees.store(tree, { ...BEFORE, entry: 0 }, Gfp.KERNEL);
    processes.mapleTrees.store(tree, AFTER, Gfp.KERNEL);
    return;
  }
  for (let i = 0; i < LOOKS; i++) {
    for (const { first, last, entry } of FIXED) {
      rcu.readLock();
      const found = processes.mapleTrees.at(tree, first + 5);
      const said = `cpu ${cpu.id} finds ${found} over ${processes.mapleTrees.first} to ${processes.mapleTrees.last}`;
      rcu.readUnlock();
      if (found !== entry || processes.mapleTrees.first !== first || processes.mapleTrees.last !== last)
        bug(`${said}, not ${entry} over ${first} to ${last}`);
    }
    cpu.endOperation();
  }
}

export function check({ processes }: Kernel, _options: object, _values: unknown, tree: Pointer): void {
  const found = processes.mapleTrees.check(tree).map(({ entry }) => entry);
  if (found.join() !== "101,102,202") bug(`the tree has entries ${found.join()}`);
}
