/** That all memory of object caches has come back: pages, and the objects of kmalloc. */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import { NodeStat } from "../../mm/pages/counters.ts";
import { checkSlabs } from "../../mm/slab/check-slabs.ts";
import { restingFreePages } from "./page-share.ts";

const { nr_slab_reclaimable, nr_slab_unreclaimable } = NodeStat;

/** As many pages are free, or in slabs of other caches, as `before`. */
export function checkPagesBack(kernel: Kernel, before: number): void {
  const found = freeAndSlabPages(kernel);
  if (found !== before) bug(`${found} pages are free or slabs after the run, ${before} were before it`);
}

/** Other caches, those of the caches themselves among them, may have taken or given back slabs meanwhile. */
export function freeAndSlabPages(kernel: Kernel): number {
  const { frames, vmstat } = kernel.pages;
  let pages = restingFreePages(kernel);
  for (let nid = 0; nid < frames.nodeCount; nid++) {
    const node = frames.nodeAt(nid);
    pages += vmstat.nodeStateSnapshot(node, nr_slab_reclaimable);
    pages += vmstat.nodeStateSnapshot(node, nr_slab_unreclaimable);
  }
  return pages;
}

/** Objects that kmalloc has given and that have not come back; at rest. */
export function kmallocObjectsOut({ slabs }: Kernel): number {
  return checkSlabs(slabs)
    .filter(({ name }) => name.startsWith("kmalloc") || name.startsWith("dma-kmalloc"))
    .reduce((sum, { active }) => sum + active, 0);
}
