/**
 * Pages behind slabs, of every allocator: taken, typed and counted, and given back; and the slab that an object lies in.
 *
 * Linux: mm/slab.h virt_to_slab, account_slab; mm/slub.c free_slab, rcu_free_slab; mm/slab.c kmem_getpages, kmem_freepages.
 */

import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { frameOf, type Pointer } from "../../memory/units.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import type { Rcu } from "../../sync/rcu.ts";
import { NodeStat } from "../pages/counters.ts";
import type { Frames } from "../pages/frames.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { Page, type PageRef, PageType, pageTypeAt } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { SlabPage, TailPage } from "../pages/page-overlays.ts";
import { Zone } from "../pages/zone.ts";
import { type CacheRef, KmemCache } from "./kmem-cache.ts";
import { SlabFlag } from "./slab-flags.ts";

const cacheField = KmemCache;
const slabField = SlabPage;
const pageField = Page;
const tailField = TailPage;
const { SLAB, TAIL, ALLOCATED } = PageType;
const F = GfpFlag;
/** The pages of a TYPESAFE_BY_RCU slab go back at once. */
const freesAtOnce = mutant("slab-free-before-grace");
/** "From where this CPU's memory comes."  Linux: NUMA_NO_NODE. */
export const NO_NODE = -1;
/** What of a caller's flags reaches the page allocator.  Linux: GFP_RECLAIM_MASK | GFP_CONSTRAINT_MASK. */
export const PASSED =
  Gfp.RECLAIM |
  F.HIGH |
  F.IO |
  F.FS |
  F.NOWARN |
  F.RETRY_MAYFAIL |
  F.NOFAIL |
  F.NORETRY |
  F.MEMALLOC |
  F.NOMEMALLOC |
  F.HARDWALL |
  F.THISNODE;

export interface BackingParts {
  readonly pages: PageAllocator;
  readonly functions: Functions;
  readonly rcu: Rcu;
}

export class SlabBacking {
  declare readonly memory: Memory;
  declare readonly frames: Frames;
  declare private readonly pages: PageAllocator;
  declare private readonly rcu: Rcu;
  declare private readonly rcuFreeSlab: FunctionId;
  declare private readonly memMap: Pointer;

  constructor({ pages, functions, rcu }: BackingParts) {
    this.memory = pages.frames.memory;
    this.frames = pages.frames;
    this.pages = pages;
    this.rcu = rcu;
    this.rcuFreeSlab = functions.register("rcu_free_slab", (_cpu, head) =>
      this.freePages(head - slabField.next),
    );
    this.memMap = pages.frames.memMap;
  }

  /** The slab that `object` lies in, or 0.  Linux: virt_to_slab. */
  slabAt(object: Pointer): PageRef {
    const { memory } = this;
    const page = this.memMap + ((object >> 10) << 4);
    return (memory.read(page + pageField.type) & 0xff) === SLAB ? page : this.headOf(page);
  }

  /** The slab that `object` lies in.  A bug when it is no slab's. */
  slabOf(object: Pointer): PageRef {
    const slab = this.slabAt(object);
    if (slab === 0) this.reportNoSlab(object);
    return slab;
  }

  /** First word of a slab. */
  baseOf(slab: PageRef): Pointer {
    return frameOf(this.frames.pfnOf(slab));
  }

  orderOf(slab: PageRef): number {
    return this.memory.read(slab + pageField.type) >> 8;
  }

  /** The heads of all slabs of the machine, at rest. */
  all(): PageRef[] {
    const { memory, frames } = this;
    const read = (address: Pointer): number => memory.read(address);
    const found: PageRef[] = [];
    for (const zone of frames.populatedZones()) {
      const start = memory.read(zone + Zone.startPfn);
      const end = start + memory.read(zone + Zone.spannedPages);
      for (let pfn = start; pfn < end; pfn++) {
        const page = frames.pageOf(pfn);
        if (pageTypeAt(read, page) === SLAB && frames.zoneOf(page) === zone) found.push(page);
      }
    }
    return found;
  }

  /**
   * A block of pages that is a slab of `cache` from here on, or 0.  `cache` 0: of none (SLOB).
   * @may-sleep with __GFP_DIRECT_RECLAIM
   */
  take(cache: CacheRef, gfp: number, order: number, node: number): PageRef {
    const { memory, pages, frames } = this;
    const flags = gfp | (order > 0 ? F.COMP : 0) | this.zoneFlags(cache);
    const pfn = node === NO_NODE ? pages.allocPages(flags, order) : pages.allocPagesNode(node, flags, order);
    if (pfn === 0) return 0;
    const slab = frames.pageOf(pfn);
    memory.write(slab + slabField.cache, cache);
    pages.setPageType(pfn, SLAB);
    this.countPages(slab, 1 << order);
    return slab;
  }

  /** Gives a slab's pages back, those of a TYPESAFE_BY_RCU cache after a grace period; it is on no list. */
  give(slab: PageRef): void {
    const flags = this.flagsOf(this.memory.read(slab + slabField.cache));
    const isTypesafe = (flags & SlabFlag.TYPESAFE_BY_RCU) !== 0;
    if (isTypesafe) reached("slab-free-before-grace");
    // The links are free: they hold the callback.
    if (isTypesafe && !freesAtOnce) this.rcu.call(slab + slabField.next, this.rcuFreeSlab);
    else this.freePages(slab);
  }

  /** Linux: __free_slab. */
  private freePages(slab: PageRef): void {
    const { frames, pages } = this;
    const pfn = frames.pfnOf(slab);
    const order = this.orderOf(slab);
    this.countPages(slab, -(1 << order));
    pages.setPageType(pfn, ALLOCATED);
    pages.freePages(pfn, order);
  }

  /** The slab whose tail `page` is, or 0. */
  private headOf(page: PageRef): PageRef {
    const { memory } = this;
    let type = memory.read(page + pageField.type) & 0xff;
    const head = type === TAIL ? memory.read(page + tailField.head) : page;
    if (head !== page) type = memory.read(head + pageField.type) & 0xff;
    return type === SLAB ? head : 0;
  }

  private reportNoSlab(object: Pointer): never {
    const page = this.memMap + (object >> 10) * 16;
    const type = this.memory.read(page + pageField.type) & 0xff;
    bug(`word ${object} is not in a slab: its page has type ${type}`);
  }

  private flagsOf(cache: CacheRef): number {
    return cache === 0 ? 0 : this.memory.read(cache + cacheField.flags);
  }

  private zoneFlags(cache: CacheRef): number {
    const flags = this.flagsOf(cache);
    return (
      ((flags & SlabFlag.CACHE_DMA) !== 0 ? F.DMA : 0) |
      ((flags & SlabFlag.CACHE_DMA32) !== 0 ? F.DMA32 : 0) |
      ((flags & SlabFlag.RECLAIM_ACCOUNT) !== 0 ? F.RECLAIMABLE : 0)
    );
  }

  /** Linux: account_slab, unaccount_slab. */
  private countPages(slab: PageRef, pages: number): void {
    const { memory, frames } = this;
    const flags = this.flagsOf(memory.read(slab + slabField.cache));
    const isReclaimable = (flags & SlabFlag.RECLAIM_ACCOUNT) !== 0;
    const item = isReclaimable ? NodeStat.nr_slab_reclaimable : NodeStat.nr_slab_unreclaimable;
    this.pages.vmstat.modNode(frames.nodeAt(frames.nodeOf(slab)), item, pages);
  }
}
