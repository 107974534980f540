/**
 * Names for objects of the kernel's own caches in the cache-line report: which VMA's lock, which node of a tree a line was.
 *
 * A report is made on one CPU after the run: looks at RAM directly.  With SLAB and SLOB such lines stay contents of frames.
 */

import { shape } from "../memory/shape.ts";
import { frameOf, WORD_BYTES } from "../memory/units.ts";
import { Page, PageType } from "../mm/pages/page.ts";
import { SlabPage } from "../mm/pages/page-overlays.ts";
import { readName } from "../mm/slab/cache-record.ts";
import { KmemCache } from "../mm/slab/kmem-cache.ts";
import { Inode, OpenFile, XaNode } from "../process/file-layout.ts";
import { MapleNode } from "../process/maple-node.ts";
import { AnonVma, AnonVmaChain, VmArea, VmaLock } from "../process/vm-area.ts";
import type { Kernel } from "./kernel.ts";

/** By cache.  Address spaces are named by who makes them. */
const LAYOUTS: Readonly<Record<string, object>> = {
  vm_area_struct: VmArea,
  vma_lock: VmaLock,
  anon_vma: AnonVma,
  anon_vma_chain: AnonVmaChain,
  maple_node: MapleNode,
  filp: OpenFile,
  shmem_inode_cache: Inode,
  radix_tree_node: XaNode,
};

/** Registers the objects of all slabs of these caches as regions, until the program's are forgotten. */
export function registerObjects({ pages, regions }: Kernel, ram: Int32Array): void {
  if (shape.slab !== "slub" && shape.slab !== "sheaves") return;
  const { frames } = pages;
  const bytes = { readByte: (at: number): number => (ram[at >> 2] >>> (8 * (at & 3))) & 0xff };
  for (let pfn = 0; pfn < frames.maxPfn; pfn++) {
    const page = frames.pageOf(pfn);
    if ((ram[page + Page.type] & 0xff) !== PageType.SLAB) continue;
    const cache = ram[page + SlabPage.cache];
    const name = readName(bytes, cache);
    const layout = LAYOUTS[name];
    if (layout === undefined) continue;
    const stride = ram[cache + KmemCache.size] / WORD_BYTES;
    regions.add(name, frameOf(pfn), layout, ram[page + SlabPage.objects], stride);
  }
}
