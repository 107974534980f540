/** What checkVmap finds: each invariant broken once. */

import { expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { PAGE_BYTES, type Pfn, pfnOf } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { PageType } from "../../../src/mm/pages/page.ts";
import { checkVmap } from "../../../src/mm/vmap/check-vmap.ts";
import { VmapArea, VmStruct } from "../../../src/mm/vmap/vmap-area.ts";
import { VmapBlock } from "../../../src/mm/vmap/vmap-block.ts";
import { VmapGlobals } from "../../../src/mm/vmap/vmap-globals.ts";
import { AreaSet, VaPool, VmapNode } from "../../../src/mm/vmap/vmap-node.ts";
import { kernelsOf } from "../../support/kernels.ts";

interface Scene extends Kernel {
  readonly busy: readonly number[];
  readonly block: number;
  readonly frame: Pfn;
}

/** Four busy areas, a block, a lazy area, and one in a pool. */
function scene(): Scene {
  const [kernel] = kernelsOf({ cpus: 2 }).kernels;
  const { vmap, pages, memory } = kernel;
  const pooled = vmap.vmalloc(2 * PAGE_BYTES);
  vmap.vfree(pooled);
  vmap.vmUnmapAliases();
  const busy = [1, 3, 4, 5].map((count) => vmap.vmalloc(count * PAGE_BYTES));
  vmap.vfree(vmap.vmalloc(6 * PAGE_BYTES));
  const frame = pages.allocPage(Gfp.KERNEL);
  const block = memory.read(vmap.areas.find(vmap.vmMapRam([frame])) + VmapArea.vm);
  expect(checkVmap(vmap)).toMatchObject({ areas: { busy: 5, lazy: 1, pool: 1 }, blocks: 1 });
  return Object.assign(Object.create(kernel), { busy, block, frame }) as Scene;
}

const areaOf = ({ vmap, busy }: Scene, index: number): number => vmap.areas.find(busy[index]);
const vmOf = (s: Scene, index: number): number => s.memory.read(areaOf(s, index) + VmapArea.vm);
const globalWord = ({ vmap }: Scene, field: number): number => vmap.space.globals + field;
const add = ({ memory }: Scene, at: number, by: number): void => memory.write(at, memory.read(at) + by);
const clearEntry = (s: Scene, address: number): void => {
  s.memory.write(s.vmap.tables.leafEntry(address), 0);
  s.vmap.flush.range(address, address + PAGE_BYTES);
};
/** The lazy tree of the node that has one. */
const lazyNode = ({ vmap, memory }: Scene): number =>
  [0, 1]
    .map((id) => vmap.space.nodeAt(id))
    .find((node) => memory.read(node + VmapNode.lazy + AreaSet.root) !== 0) ?? 0;

test.each<[string, RegExp, (s: Scene) => void]>([
  [
    "an area that has shrunk leaves a gap",
    /^W2 the \w+ area ffffc9\w+ begins where/,
    (s) => {
      const at = areaOf(s, 3);
      s.memory.writeFloat64(at + VmapArea.end, s.vmap.areas.endOf(at) - PAGE_BYTES);
      s.memory.writeFloat64(vmOf(s, 3) + VmStruct.size, 5 * PAGE_BYTES);
    },
  ],
  [
    "an area that nobody lists is missed",
    /^W2 /,
    (s) => {
      s.vmap.areas.unlink(areaOf(s, 1));
    },
  ],
  [
    "a tree and its list differ",
    /^W3 lazy areas of node \d: 0 areas in the tree, 1 in the list/,
    (s) => s.memory.write(lazyNode(s) + VmapNode.lazy + AreaSet.root, 0),
  ],
  [
    "a free area knows a wrong size of its subtree",
    /^R3 W3 free areas: the subtree value/,
    (s) => {
      const root = s.memory.read(globalWord(s, VmapGlobals.freeRoot));
      s.memory.writeFloat64(root - VmapArea.rb + VmapArea.subtreeMax, PAGE_BYTES);
    },
  ],
  [
    "a pool says another length",
    /^W3 pool 2 of node 0 has 1 areas, it says 2/,
    (s) => add(s, s.vmap.space.poolAt(s.vmap.space.nodeAt(0), 2) + VaPool.len, 1),
  ],
  [
    "lazy pages are miscounted",
    /^W4 7 pages are lazy, vmap_lazy_nr says 8/,
    (s) => add(s, globalWord(s, VmapGlobals.lazyPages), 1),
  ],
  [
    "a page is not mapped",
    /^W5 area ffffc9\w+: page 2 is frame \d+, mapped is none/,
    (s) => clearEntry(s, s.busy[2] + 2 * PAGE_BYTES),
  ],
  [
    "a mapping is left in what is lazy",
    /^W5 ffffc9\w+ is mapped, its area is lazy/,
    (s) => {
      const { vmap, memory } = s;
      const first = memory.read(lazyNode(s) + VmapNode.lazy + AreaSet.head) - VmapArea.links;
      vmap.tables.map(vmap.areas.startOf(first), 1, () => s.frame);
    },
  ],
  ["a mapped frame is free", /^W5 ffffc9\w+ maps frame \d+, which is free/, (s) => s.pages.freePage(s.frame)],
  [
    "the guard page is mapped",
    /^W5 area ffffc9\w+: its guard page is mapped/,
    (s) => void s.vmap.tables.map(s.busy[0] + PAGE_BYTES, 1, () => s.frame),
  ],
  [
    "pages are miscounted",
    /^W5 13 pages are in vmalloc areas, nr_vmalloc_pages says 12/,
    (s) => add(s, globalWord(s, VmapGlobals.vmallocPages), -1),
  ],
  [
    "a table has another type",
    /^W6 the table in frame \d+ has page type 3/,
    (s) => s.pages.setPageType(pfnOf(s.vmap.tables.leafEntry(s.busy[0])), PageType.ALLOCATED),
  ],
  [
    "tables are miscounted",
    /^W6 there are \d+ tables, \d+ are counted/,
    (s) => add(s, globalWord(s, VmapGlobals.tablePages), 1),
  ],
  [
    "a block's pages do not add up",
    /^W7 block ffffc9\w+ of cpu 0: 1022 free, 0 dirty, 1 in use/,
    (s) => add(s, s.block + VmapBlock.free, -1),
  ],
])("%s", (_name, message, breakIt) => {
  const s = scene();
  breakIt(s);
  expect(() => checkVmap(s.vmap)).toThrow(message);
});
