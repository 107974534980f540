/**
 * The page allocator of one CPU: Linux's `alloc_pages` family.
 *
 * What programs call for every page are closures, so that V8 knows their `this`: docs/decisions/005.
 *
 * A page is named by its frame number; 0 is "none".  `get…Pages` forms return a pointer to the frame's words.
 *
 * Linux: mm/page_alloc.c __alloc_pages, __free_pages, include/linux/gfp.h, include/linux/mm.h.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { frameOf, type Pfn, type Pointer, pfnOf } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { allocFailure } from "./alloc-failure.ts";
import { AllocFlag } from "./alloc-flags.ts";
import { Buddy } from "./buddy.ts";
import { Drain } from "./drain.ts";
import { Fallback } from "./fallback.ts";
import { Frames } from "./frames.ts";
import { cmaRight, Gfp, GfpFlag, gfpMigrateType, gfpZone } from "./gfp.ts";
import { HighAtomic } from "./high-atomic.ts";
import { MAX_ORDER, MigrateType } from "./migrate-types.ts";
import { Node } from "./node.ts";
import { PAGE_WORDS, Page, type PageRef, PageType } from "./page.ts";
import { badPage } from "./page-checks.ts";
import { PageFastPath } from "./page-fast-path.ts";
import { PageFlag } from "./page-flags.ts";
import { PageFree } from "./page-free.ts";
import { PageGlobals } from "./page-globals.ts";
import { PageLists } from "./page-lists.ts";
import { TailPage } from "./page-overlays.ts";
import { type AllocRequest, NO_RECLAIM, type ReclaimHooks } from "./reclaim-hooks.ts";
import { SlowPath } from "./slow-path.ts";
import { Vmstat } from "./vmstat.ts";
import { VmstatUpdate } from "./vmstat-update.ts";
import { watermarkPages, zoneWatermarkFast } from "./watermark.ts";
import { Zone, type ZoneRef } from "./zone.ts";
import { ZoneIndex } from "./zone-index.ts";
import { ZonelistWalk } from "./zonelist-walk.ts";

const { PAGE_ALLOC, PAGE_FREE } = Work;
const pageField = Page;
const nodeField = Node;
const { DIRECT_RECLAIM, THISNODE, KSWAPD_RECLAIM, HIGHMEM, ZERO } = GfpFlag;
const { WMARK_LOW, NOFRAGMENT, WMARK_MASK } = AllocFlag;
/** Counts a reference down by a plain read and write. */
const putPlain = mutant("page-put-plain");

export interface PageAllocatorParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  /** The page_globals that boot has written. */
  readonly globals: Pointer;
  /** This CPU's node. */
  readonly localNode: number;
}

export class PageAllocator {
  declare readonly frames: Frames;
  declare readonly vmstat: Vmstat;
  declare readonly buddy: Buddy;
  declare readonly lists: PageLists;
  declare readonly drain: Drain;
  declare readonly vmstatUpdate: VmstatUpdate;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly walk: ZonelistWalk;
  declare private readonly slow: SlowPath;
  declare private readonly freer: PageFree;
  declare private readonly localNode: number;
  declare private readonly fast: PageFastPath;
  declare private readonly memMap: Pointer;
  declare private readonly maxPfn: Pfn;
  declare private readonly groupsByMobility: boolean;

  constructor(parts: PageAllocatorParts) {
    const { cpu, locks, localNode } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.locks = locks;
    this.localNode = localNode;
    this.frames = new Frames(cpu.memory, parts.globals);
    this.maxPfn = this.frames.maxPfn;
    this.memMap = this.frames.memMap;
    this.fast = new PageFastPath(this.frames, locks, cpu.id, localNode);
    this.vmstat = new Vmstat(cpu.memory, this.frames, cpu.id);
    this.buddy = new Buddy(this.frames, this.vmstat);
    const fallback = new Fallback(this.buddy);
    const highAtomic = new HighAtomic(this.buddy, locks);
    this.lists = new PageLists(fallback, locks, cpu.id);
    this.drain = new Drain(this.lists, locks);
    this.freer = new PageFree(this.buddy, this.lists, locks);
    this.walk = new ZonelistWalk({
      lists: this.lists,
      fallback,
      highAtomic,
      locks,
      localNode,
      hooks: NO_RECLAIM,
    });
    this.vmstatUpdate = new VmstatUpdate(cpu, this.vmstat, this.lists, localNode);
    this.slow = new SlowPath(cpu, this.walk, this.drain, highAtomic, locks);
    this.groupsByMobility = cpu.memory.read(parts.globals + PageGlobals.groupByMobilityDisabled) === 0;
  }

  /** Installs reclaim, compaction, the OOM killer and the kernel log. */
  install(hooks: Partial<ReclaimHooks>): void {
    this.walk.hooks = { ...this.walk.hooks, ...hooks };
  }

  // ---- allocate ----

  /** 2^order frames, or 0.  Linux: alloc_pages.  @may-sleep with __GFP_DIRECT_RECLAIM */
  allocPages = (gfp: number, order: number): Pfn =>
    order === 0 ? this.allocPage(gfp) : this.allocPagesMask(gfp, order, this.localNode, -1);

  /** One frame, or 0.  Linux: alloc_page. */
  allocPage = (gfp: number): Pfn => {
    if ((gfp & DIRECT_RECLAIM) !== 0) this.cpu.mightSleep("alloc_pages");
    const page = this.fast.take(gfp);
    if (page !== 0) {
      this.memory.work(PAGE_ALLOC, 1);
      return (page - this.memMap) >> 4;
    }
    return this.allocPagesMask(gfp, 0, this.localNode, -1);
  };

  /** From `node` if it has memory to spare, else from the nearest that has.  Linux: alloc_pages_node. */
  allocPagesNode(node: number, gfp: number, order: number): Pfn {
    return this.allocPagesMask(gfp, order, node, -1);
  }

  /** From the nodes of `nodeMask` (a bit each; -1 all), `node` first.  Linux: __alloc_pages. */
  allocPagesMask(gfp: number, order: number, node: number, nodeMask: number): Pfn {
    const { memory, walk } = this;
    if (order > MAX_ORDER) return this.refuseOrder(gfp, order);
    if ((gfp & DIRECT_RECLAIM) !== 0) this.cpu.mightSleep("alloc_pages");
    memory.work(PAGE_ALLOC, 1);
    const highestZone = gfpZone(gfp);
    const type = this.groupsByMobility ? gfpMigrateType(gfp) : MigrateType.UNMOVABLE;
    const lists =
      this.frames.nodeAt(node) + ((gfp & THISNODE) === 0 ? nodeField.fallback : nodeField.noFallback);
    const first = walk.firstEntry(lists, highestZone, nodeMask);
    const preferred = memory.read(first);
    if (preferred !== 0) {
      const flags = WMARK_LOW | cmaRight(gfp) | this.noFragment(preferred, gfp);
      const page = walk.take(gfp, order, flags, first, highestZone, type, nodeMask);
      if (page !== 0) return this.frames.pfnOf(page);
    }
    return this.allocSlow({ gfp, order, first, highestZone, type, nodeMask });
  }

  /** The frames' words, or 0.  Linux: __get_free_pages. */
  getFreePages(gfp: number, order: number): Pointer {
    return frameOf(this.allocPages(gfp & ~HIGHMEM, order));
  }

  /** Linux: get_zeroed_page. */
  getZeroedPage(gfp: number): Pointer {
    return this.getFreePages(gfp | ZERO, 0);
  }

  /** Linux: __get_dma_pages. */
  getDmaPages(gfp: number, order: number): Pointer {
    return this.getFreePages(gfp | Gfp.DMA, order);
  }

  /**
   * Appends up to `count` single frames, of `node` first, to `into`; returns how many.  The page list's lock is taken
   * once for all.  Linux: alloc_pages_bulk.
   */
  allocPagesBulk(gfp: number, count: number, into: Pfn[], node = this.localNode): number {
    const { walk } = this;
    if (count <= 0) return 0;
    const highestZone = gfpZone(gfp);
    const lists =
      this.frames.nodeAt(node) + ((gfp & THISNODE) === 0 ? nodeField.fallback : nodeField.noFallback);
    const first = walk.firstEntry(lists, highestZone, -1);
    const zone = count === 1 ? 0 : this.bulkZone(gfp, count, first, highestZone);
    if (zone !== 0) {
      if ((gfp & DIRECT_RECLAIM) !== 0) this.cpu.mightSleep("alloc_pages_bulk");
      const type = this.groupsByMobility ? gfpMigrateType(gfp) : MigrateType.UNMOVABLE;
      const taken = walk.takeBulk(gfp, zone, type, this.memory.read(first), count, into);
      if (taken > 0) return taken;
    }
    const pfn = node === this.localNode ? this.allocPage(gfp) : this.allocPagesNode(node, gfp, 0);
    if (pfn === 0) return 0;
    into.push(pfn);
    return 1;
  }

  // ---- free ----

  /** Drops a reference to a block; the last one frees it.  Linux: __free_pages. */
  freePages = (pfn: Pfn, order: number): void => {
    const { memory } = this;
    if (pfn <= 0 || pfn >= this.maxPfn || order > MAX_ORDER) this.reportFree(pfn, order);
    memory.work(PAGE_FREE, 1);
    const page = this.memMap + pfn * PAGE_WORDS;
    const parts = order !== 0 && this.isShared(page) ? this.headAlone(page, order) : false;
    const before = this.dropReference(page);
    if (before === 1) {
      if (parts) memory.write(page + pageField.type, PageType.ALLOCATED | (order << 8));
      if (order !== 0 || !this.fast.put(page, pfn)) this.freer.free(page, order);
    } else if (before <= 0) badPage(this.frames, page, "double free: the page has no references");
    else if (parts) this.freeAllButHead(pfn, order);
  };

  /** Linux: __free_page. */
  freePage(pfn: Pfn): void {
    this.freePages(pfn, 0);
  }

  /** Frees by pointer; null is allowed.  Linux: free_pages. */
  freePagesAt(pointer: Pointer, order: number): void {
    if (pointer !== 0) this.freePages(pfnOf(pointer), order);
  }

  /** Folds this CPU's counters and trims its lists; true if there was anything to do.  Linux: vmstat_update. */
  updateVmstat(): boolean {
    return this.vmstatUpdate.update();
  }

  /** For the timer interrupt: `updateVmstat` once a second. */
  tick(): void {
    this.vmstatUpdate.tick();
  }

  /** Boot: gives a block to the allocator.  Linux: __free_pages_core. */
  releasePages(pfn: Pfn, order: number): void {
    this.freer.release(pfn, order);
  }

  // ---- references ----

  /** Takes another reference.  Linux: get_page. */
  getPage(pfn: Pfn): void {
    const page = this.frames.pageOf(pfn);
    if (this.memory.add(page + pageField.refcount, 1) <= 0)
      badPage(this.frames, page, "get_page of a free page");
  }

  /** Takes a reference unless there is none left; the page may be anybody's.  Linux: get_page_unless_zero. */
  tryGetPage(pfn: Pfn): boolean {
    const { memory } = this;
    const at = this.frames.pageOf(pfn) + pageField.refcount;
    let seen = memory.load(at);
    while (seen !== 0) {
      const before = memory.cas(at, seen, seen + 1);
      if (before === seen) return true;
      seen = before;
    }
    return false;
  }

  /** Drops a reference; of a compound block's tail, that of its head.  Linux: put_page. */
  putPage(pfn: Pfn): void {
    const { memory, frames } = this;
    let page = frames.pageOf(pfn);
    if ((memory.read(page + pageField.type) & 0xff) === PageType.TAIL)
      page = memory.read(page + TailPage.head);
    const before = this.dropReference(page);
    if (before <= 0) badPage(frames, page, "put_page of a free page");
    if (before !== 1) return;
    this.freer.free(page, this.compoundOrder(page));
  }

  /** References to a frame's block.  Linux: page_count. */
  pageCount(pfn: Pfn): number {
    return this.memory.load(this.frames.pageOf(pfn) + pageField.refcount);
  }

  /** Order of the compound block that `page` heads; 0 for any other.  Linux: compound_order. */
  compoundOrder(page: PageRef): number {
    const { memory } = this;
    if ((memory.load(page + pageField.flags) & PageFlag.HEAD) === 0) return 0;
    return memory.read(page + 16 + TailPage.order);
  }

  /** Makes 2^order single pages of a block that is not compound.  Linux: split_page. */
  splitPage(pfn: Pfn, order: number): void {
    const { memory, frames } = this;
    const head = frames.pageOf(pfn);
    const word = memory.read(head + pageField.type);
    if (word !== (PageType.ALLOCATED | (order << 8)) || this.compoundOrder(head) !== 0) {
      badPage(frames, head, `split_page of order ${order}`);
    }
    for (let i = 0; i < 1 << order; i++) {
      const page = frames.pageOf(pfn + i);
      memory.write(page + pageField.type, PageType.ALLOCATED);
      if (i > 0) memory.write(page + pageField.refcount, 1);
    }
  }

  /** Linux: page_address. */
  pageAddress(pfn: Pfn): Pointer {
    return frameOf(pfn);
  }

  /** Says what an allocated page is used for; ALLOCATED again before it is freed.  Linux: __SetPageSlab and its kin. */
  setPageType(pfn: Pfn, type: number): void {
    const at = this.frames.pageOf(pfn) + pageField.type;
    this.memory.write(at, (this.memory.read(at) & ~0xff) | type);
  }

  // ---- the rest ----

  private allocSlow(request: AllocRequest): Pfn {
    const page = this.memory.read(request.first) === 0 ? 0 : this.slow.allocate(request);
    if (page !== 0) return this.frames.pfnOf(page);
    const { frames, vmstat, locks, cpu } = this;
    const text = allocFailure({ frames, vmstat, locks, cpu: cpu.id }, cpu, request);
    if (text !== "") this.walk.hooks.report(text);
    return 0;
  }

  private refuseOrder(gfp: number, order: number): Pfn {
    if ((gfp & GfpFlag.NOWARN) === 0) {
      this.walk.hooks.report(`WARNING: alloc_pages: order ${order} is above MAX_PAGE_ORDER ${MAX_ORDER}`);
    }
    return 0;
  }

  /**
   * In the NORMAL zone of a node with DMA32 below it, other zones are tried before types are mixed.
   * Linux: alloc_flags_nofragment.
   */
  private noFragment(preferred: ZoneRef, gfp: number): number {
    const { memory } = this;
    const kswapd = gfp & KSWAPD_RECLAIM;
    if (memory.read(preferred + Zone.index) !== ZoneIndex.NORMAL) return kswapd;
    if (this.frames.nodeCount > 1) {
      const below = this.frames.zoneAt(memory.read(preferred + Zone.node), ZoneIndex.DMA32);
      if (memory.read(below + Zone.presentPages) === 0) return kswapd;
    }
    return kswapd | NOFRAGMENT;
  }

  /** A zone of the local node that keeps its low mark after `count` pages, or 0. */
  private bulkZone(gfp: number, count: number, first: Pointer, highestZone: number): ZoneRef {
    const { memory } = this;
    const preferred = memory.read(first);
    const flags = WMARK_LOW | cmaRight(gfp);
    for (let entry = first; ; entry += 2) {
      const zone = memory.read(entry);
      if (zone === 0 || memory.read(zone + Zone.node) !== memory.read(preferred + Zone.node)) return 0;
      if (memory.read(entry + 1) > highestZone) continue;
      const mark = watermarkPages(memory, zone, flags & WMARK_MASK) + count;
      if (zoneWatermarkFast(memory, zone, 0, mark, highestZone, flags)) return zone;
    }
  }

  /** References before the drop. */
  private dropReference(page: PageRef): number {
    reached("page-put-plain");
    const at = page + pageField.refcount;
    if (!putPlain) return this.memory.add(at, -1);
    const before = this.memory.read(at);
    this.memory.write(at, before - 1);
    return before;
  }

  /** Whether somebody else holds a block that is not compound, perhaps for a moment only. */
  private isShared(page: PageRef): boolean {
    return this.memory.load(page + pageField.refcount) > 1 && this.compoundOrder(page) === 0;
  }

  /** Makes the head of a block a single page: whoever drops the last reference then frees the head alone. */
  private headAlone(page: PageRef, order: number): boolean {
    const at = page + pageField.type;
    if (this.memory.read(at) !== (PageType.ALLOCATED | (order << 8))) return false;
    this.memory.write(at, PageType.ALLOCATED);
    return true;
  }

  /** Linux: the tail of __free_pages. */
  private freeAllButHead(pfn: Pfn, order: number): void {
    for (let part = order - 1; part >= 0; part--) {
      const page = this.frames.pageOf(pfn + (1 << part));
      this.memory.write(page + pageField.type, PageType.ALLOCATED | (part << 8));
      this.freer.free(page, part);
    }
  }

  private reportFree(pfn: Pfn, order: number): never {
    bug(
      `free of frame ${pfn} with order ${order}: frames are 1 to ${this.maxPfn - 1}, orders 0 to ${MAX_ORDER}`,
    );
  }
}
