/**
 * Pages behind slabs, for SLAB and SLOB: taken, typed and counted; and the slab that an object lies in.
 *
 * Linux: mm/slab.c kmem_getpages, kmem_freepages; mm/slab.h virt_to_slab, account_slab.
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { frameOf, type Pointer } from "../../memory/units.ts";
import type { FunctionId } from "../../sync/functions.ts";
import type { Rcu } from "../../sync/rcu.ts";
import { NodeStat } from "../pages/counters.ts";
import type { Frames } from "../pages/frames.ts";
import { GfpFlag } from "../pages/gfp.ts";
import { Page, type PageRef, PageType } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { SlabPage, TailPage } from "../pages/page-overlays.ts";
import { Zone } from "../pages/zone.ts";
import { KmemCache } from "./kmem-cache.ts";
import { SlabFlag } from "./slab-flags.ts";
import { NO_NODE, type SlabPageParts } from "./slab-pages.ts";

const pageField = Page;

export class SlabBacking {
  declare readonly memory: Memory;
  declare readonly frames: Frames;
  declare private readonly pages: PageAllocator;
  declare private readonly rcu: Rcu;
  declare private readonly rcuFree: FunctionId;
  declare private readonly memMap: Pointer;

  constructor({ pages, functions, rcu }: SlabPageParts) {
    this.rcu = rcu;
    this.rcuFree = functions.register("kmem_rcu_free", (_cpu, head) => this.giveNow(head - SlabPage.next));
    this.memory = pages.frames.memory;
    this.frames = pages.frames;
    this.pages = pages;
    this.memMap = pages.frames.memMap;
  }

  /** A block of pages that is a slab from here on, of no cache yet; or 0.  @may-sleep with __GFP_DIRECT_RECLAIM */
  take(gfp: number, order: number, node: number, cacheFlags: number): PageRef {
    const flags =
      gfp |
      (order > 0 ? GfpFlag.COMP : 0) |
      ((cacheFlags & SlabFlag.CACHE_DMA) !== 0 ? GfpFlag.DMA : 0) |
      ((cacheFlags & SlabFlag.CACHE_DMA32) !== 0 ? GfpFlag.DMA32 : 0) |
      ((cacheFlags & SlabFlag.RECLAIM_ACCOUNT) !== 0 ? GfpFlag.RECLAIMABLE : 0);
    const pfn =
      node === NO_NODE ? this.pages.allocPages(flags, order) : this.pages.allocPagesNode(node, flags, order);
    if (pfn === 0) return 0;
    const slab = this.frames.pageOf(pfn);
    this.memory.write(slab + SlabPage.cache, 0);
    this.pages.setPageType(pfn, PageType.SLAB);
    this.count(slab, 1 << order, cacheFlags);
    return slab;
  }

  /** Gives a slab's pages back; with TYPESAFE_BY_RCU after a grace period.  It is on no list. */
  give(slab: PageRef, cacheFlags: number): void {
    if ((cacheFlags & SlabFlag.TYPESAFE_BY_RCU) !== 0) this.rcu.call(slab + SlabPage.next, this.rcuFree);
    else this.giveNow(slab);
  }

  private giveNow(slab: PageRef): void {
    const cache = this.memory.read(slab + SlabPage.cache);
    const flags = cache === 0 ? 0 : this.memory.read(cache + KmemCache.flags);
    const pfn = this.frames.pfnOf(slab);
    const order = this.orderOf(slab);
    this.count(slab, -(1 << order), flags);
    this.pages.setPageType(pfn, PageType.ALLOCATED);
    this.pages.freePages(pfn, order);
  }

  /** First word of a slab. */
  baseOf(slab: PageRef): Pointer {
    return frameOf(this.frames.pfnOf(slab));
  }

  orderOf(slab: PageRef): number {
    return this.memory.read(slab + pageField.type) >> 8;
  }

  /** The slab that `object` lies in.  A bug when it is no slab's. */
  slabOf(object: Pointer): PageRef {
    const { memory } = this;
    let page = this.memMap + (object >> 10) * 16;
    let type = memory.read(page + pageField.type) & 0xff;
    if (type === PageType.TAIL) {
      page = memory.read(page + TailPage.head);
      type = memory.read(page + pageField.type) & 0xff;
    }
    if (type !== PageType.SLAB) bug(`word ${object} is not in a slab: its page has type ${type}`);
    return page;
  }

  /** The heads of all slabs of the machine, at rest. */
  all(): PageRef[] {
    const { memory, frames } = this;
    const found: PageRef[] = [];
    for (const zone of frames.populatedZones()) {
      const start = memory.read(zone + Zone.startPfn);
      const end = start + memory.read(zone + Zone.spannedPages);
      for (let pfn = start; pfn < end; pfn++) {
        const page = frames.pageOf(pfn);
        const isFree = memory.read(page + pageField.buddy) !== 0;
        const type = memory.read(page + pageField.type) & 0xff;
        if (!isFree && type === PageType.SLAB && frames.zoneOf(page) === zone) found.push(page);
      }
    }
    return found;
  }

  /** Linux: account_slab, unaccount_slab. */
  private count(slab: PageRef, pages: number, cacheFlags: number): void {
    const { frames } = this;
    const isReclaimable = (cacheFlags & SlabFlag.RECLAIM_ACCOUNT) !== 0;
    const item = isReclaimable ? NodeStat.nr_slab_reclaimable : NodeStat.nr_slab_unreclaimable;
    this.pages.vmstat.modNode(frames.nodeAt(frames.nodeOf(slab)), item, pages);
  }
}
