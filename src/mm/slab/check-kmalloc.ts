/** Checks of the kmalloc family at rest: K1 to K3 of kmalloc.ts. */

import { bug } from "../../memory/bug.ts";
import { NodeStat } from "../pages/counters.ts";
import { Page, type PageRef, PageType, pageTypeAt } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { Zone } from "../pages/zone.ts";
import { readName } from "./cache-record.ts";
import type { Kmalloc } from "./kmalloc.ts";
import { KMALLOC_MAX_CACHE_BYTES, KMALLOC_SIZES, kmallocOrder } from "./kmalloc-index.ts";
import { KMALLOC_TYPES, kmallocName } from "./kmalloc-type.ts";
import { KmemCache } from "./kmem-cache.ts";
import { SlabFlag } from "./slab-flags.ts";

const LEAST_ORDER = kmallocOrder(KMALLOC_MAX_CACHE_BYTES + 1);

/** K1 to K3; the pages of large blocks. */
export function checkKmalloc(heap: Kmalloc, pages: PageAllocator): number {
  checkTable(heap, pages);
  const { frames, vmstat } = pages;
  const { memory } = frames;
  let large = 0;
  const counted = new Array<number>(frames.nodeCount).fill(0);
  for (const page of blocksOf(pages)) {
    const type = memory.read(page + Page.type);
    const order = type >> 8;
    counted[frames.nodeOf(page)] += 1 << order;
    if ((type & 0xff) !== PageType.LARGE_KMALLOC) continue;
    if (order < LEAST_ORDER || pages.compoundOrder(page) !== order)
      bug(
        `K2 frame ${frames.pfnOf(page)}: a large kmalloc block of order ${order}, ` +
          `compound order ${pages.compoundOrder(page)}; the least order is ${LEAST_ORDER}`,
      );
    large += 1 << order;
  }
  for (const [nid, found] of counted.entries()) {
    const node = frames.nodeAt(nid);
    const said =
      vmstat.nodeStateSnapshot(node, NodeStat.nr_slab_reclaimable) +
      vmstat.nodeStateSnapshot(node, NodeStat.nr_slab_unreclaimable);
    if (said !== found)
      bug(`K3 node ${nid}: ${found} pages are slabs or large kmalloc blocks, its counters say ${said}`);
  }
  return large;
}

function checkTable(heap: Kmalloc, { frames: { memory } }: PageAllocator): void {
  const caches = heap.allCaches();
  let missing = "";
  let count = 0;
  for (let type = 0; type < KMALLOC_TYPES; type++) {
    for (let index = 1; index < KMALLOC_SIZES.length; index++) {
      const name = kmallocName(type, index);
      const cache = heap.cacheAt(type, index);
      if (cache === 0) {
        if (heap.hasClass(type, index)) missing ||= name;
        continue;
      }
      count++;
      if (missing !== "") bug(`K1 ${name} is there, ${missing} before it is not`);
      const size = memory.read(cache + KmemCache.objectSize);
      if (readName(memory, cache) !== name || size !== KMALLOC_SIZES[index])
        bug(`K1 the cache for ${name} is ${readName(memory, cache)} of ${size} bytes`);
    }
  }
  const all = caches.filter((cache) => (memory.read(cache + KmemCache.flags) & SlabFlag.KMALLOC) !== 0);
  if (all.length !== count) bug(`K1 ${all.length} caches are kmalloc's, its table has ${count}`);
}

/** The heads of all slabs and large blocks. */
function* blocksOf({ frames }: PageAllocator): Generator<PageRef> {
  const { memory } = frames;
  const read = (address: number): number => memory.read(address);
  for (const zone of frames.populatedZones()) {
    const start = memory.read(zone + Zone.startPfn);
    const end = start + memory.read(zone + Zone.spannedPages);
    for (let pfn = start; pfn < end; pfn++) {
      const page = frames.pageOf(pfn);
      const type = pageTypeAt(read, page);
      if (type !== PageType.SLAB && type !== PageType.LARGE_KMALLOC) continue;
      if (frames.zoneOf(page) === zone) yield page;
    }
  }
}
