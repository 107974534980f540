/** What SLAB has in the kernel image.  Linux 6.7: mm/slab.c init_kmem_cache_node, kmalloc_caches, slab_reap_work. */

import type { ImageLayout, PerCpuSlot, Slot } from "../../../memory/image.ts";
import { array, struct } from "../../../memory/struct.ts";
import { SIZE_CLASSES } from "./sizes.ts";
import { ReapWork, SlabNode } from "./structures.ts";

const SizeCaches = struct("size_caches", {
  caches: array(SIZE_CLASSES.length, "lock:slab_mutex", "pointer:kmem_cache"),
});

export interface SlabImage {
  /** Nodes' parts of the first two caches. */
  readonly nodes: Slot;
  /** The caches by size. */
  readonly sizeCaches: Slot;
  readonly reap: PerCpuSlot;
}

export function declareSlab(layout: ImageLayout, nodes: number): SlabImage {
  return {
    nodes: layout.place("init_kmem_cache_node", SlabNode, 2 * nodes),
    sizeCaches: layout.place("size_caches", SizeCaches),
    reap: layout.perCpu("slab_reap_work", ReapWork),
  };
}
