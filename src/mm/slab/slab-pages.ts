/**
 * Slabs as pages and objects: making one, giving it back, and the free pointers inside the objects.
 *
 * Linux: mm/slub.c allocate_slab, free_slab, rcu_free_slab, get_freepointer, set_freepointer, virt_to_slab.
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
import { Page, type PageRef, PageType } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { SlabPage, TailPage } from "../pages/page-overlays.ts";
import { type CacheRef, KmemCache, KmemCacheNode } from "./kmem-cache.ts";
import { type ObjectBytes, Poison } from "./object-bytes.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "./slab-flags.ts";
import type { Tracks } from "./slab-track.ts";
import { inuseOf, isFrozen, slabWord } from "./slab-word.ts";

const cacheField = KmemCache;
const slabField = SlabPage;
const pageField = Page;
const nodeField = KmemCacheNode;
const tailField = TailPage;
const { SLAB, TAIL } = PageType;
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

const swapBytes = (word: number): number =>
  (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
/** A free pointer as it is stored, and back.  Linux: freelist_ptr_encode, freelist_ptr_decode. */
const mixed = (pointer: Pointer, cookie: number, slot: Pointer): number => pointer ^ cookie ^ swapBytes(slot);

export interface SlabPageParts {
  readonly pages: PageAllocator;
  readonly functions: Functions;
  readonly rcu: Rcu;
}

export interface SlubPageParts extends SlabPageParts {
  readonly bytes: ObjectBytes;
  readonly tracks: Tracks;
}

export class SlabPages {
  declare readonly memory: Memory;
  declare readonly frames: Frames;
  declare private readonly pages: PageAllocator;
  declare private readonly functions: Functions;
  declare private readonly rcu: Rcu;
  declare private readonly bytes: ObjectBytes;
  declare private readonly tracks: Tracks;
  declare private readonly rcuFreeSlab: FunctionId;
  declare private readonly memMap: Pointer;

  constructor({ pages, functions, rcu, bytes, tracks }: SlubPageParts) {
    this.memory = pages.frames.memory;
    this.frames = pages.frames;
    this.pages = pages;
    this.functions = functions;
    this.rcu = rcu;
    this.bytes = bytes;
    this.tracks = tracks;
    this.rcuFreeSlab = functions.register("rcu_free_slab", (_cpu, head) =>
      this.freePages(head - slabField.next),
    );
    this.memMap = pages.frames.memMap;
  }

  // ---- objects ----

  /** The free object after `object`, or 0.  Of an object that is not free it is any number. */
  next(cache: CacheRef, object: Pointer): Pointer {
    const { memory } = this;
    const slot = object + (memory.read(cache + cacheField.offset) >> 2);
    const cookie = memory.read(cache + cacheField.random);
    const stored = memory.read(slot);
    return cookie === 0 ? stored : mixed(stored, cookie, slot);
  }

  setNext(cache: CacheRef, object: Pointer, next: Pointer): void {
    const { memory } = this;
    const slot = object + (memory.read(cache + cacheField.offset) >> 2);
    const cookie = memory.read(cache + cacheField.random);
    memory.write(slot, cookie === 0 ? next : mixed(next, cookie, slot));
  }

  /** The slab that `object` lies in, or 0.  Linux: virt_to_slab. */
  slabAt(object: Pointer): PageRef {
    const { memory } = this;
    const page = this.memMap + ((object >> 10) << 4);
    return (memory.read(page + pageField.type) & 0xff) === SLAB ? page : this.headOf(page);
  }

  /** The slab whose tail `page` is, or 0. */
  private headOf(page: PageRef): PageRef {
    const { memory } = this;
    let type = memory.read(page + pageField.type) & 0xff;
    const head = type === TAIL ? memory.read(page + tailField.head) : page;
    if (head !== page) type = memory.read(head + pageField.type) & 0xff;
    return type === SLAB ? head : 0;
  }

  /** The slab that `object` lies in.  A bug when it is no slab's. */
  slabOf(object: Pointer): PageRef {
    const slab = this.slabAt(object);
    if (slab === 0) this.reportNoSlab(object);
    return slab;
  }

  /** First object of a slab. */
  baseOf(slab: PageRef): Pointer {
    return frameOf(this.frames.pfnOf(slab));
  }

  /** The object that a slab word's head stands for. */
  objectAt(cache: CacheRef, slab: PageRef, head: number): Pointer {
    if (head === 0) return 0;
    return this.baseOf(slab) + (head - 1) * (this.memory.read(cache + cacheField.size) >> 2);
  }

  /** What stands for `object` in a slab word.  A bug when no object begins there. */
  headFor(cache: CacheRef, slab: PageRef, object: Pointer): number {
    const { memory } = this;
    const words = memory.read(cache + cacheField.size) >> 2;
    const distance = object - this.baseOf(slab);
    const index = (distance / words) | 0;
    if (Math.imul(index, words) !== distance || index >>> 0 >= memory.read(slab + slabField.objects))
      this.reportNoStart(object, words);
    return index + 1;
  }

  /** The node whose list a slab belongs on.  Linux: get_node(s, slab_nid(slab)). */
  nodeOf(cache: CacheRef, slab: PageRef): Pointer {
    return this.memory.read(cache + cacheField.nodes + this.frames.nodeOf(slab));
  }

  // ---- slabs ----

  /**
   * A new slab of free objects that nobody else knows of, on `node` or near it; 0 when there is no memory.  Where no
   * block of the cache's order is to be had, one of the smallest order.  Linux: allocate_slab.
   * @may-sleep with __GFP_DIRECT_RECLAIM
   */
  make(cache: CacheRef, gfp: number, node: number): PageRef {
    const { memory } = this;
    const flags = (gfp & PASSED) | this.zoneFlags(cache);
    const order = memory.read(cache + cacheField.order);
    const minOrder = memory.read(cache + cacheField.minOrder);
    let first = (flags | F.NOWARN | F.NORETRY) & ~F.NOFAIL;
    if ((first & F.DIRECT_RECLAIM) !== 0 && order > minOrder)
      first = (first | F.NOMEMALLOC) & ~F.DIRECT_RECLAIM;
    const pfn = this.takePages(first, order, node);
    if (pfn !== 0) return this.format(cache, pfn, order, memory.read(cache + cacheField.objects));
    const small = this.takePages(flags, minOrder, node);
    if (small === 0) return 0;
    return this.format(cache, small, minOrder, memory.read(cache + cacheField.minObjects));
  }

  /** Counts a slab that `make` has made and that is in use from here on.  Linux: inc_slabs_node. */
  countNew(cache: CacheRef, slab: PageRef): void {
    const { memory } = this;
    const node = this.nodeOf(cache, slab);
    memory.add(node + nodeField.nrSlabs, 1);
    memory.add(node + nodeField.totalObjects, memory.read(slab + slabField.objects));
  }

  /**
   * Gives the pages of an empty slab back, those of a TYPESAFE_BY_RCU cache after a grace period; it is on no list.
   * Linux: discard_slab, free_slab.
   */
  discard(cache: CacheRef, slab: PageRef): void {
    const { memory, frames } = this;
    const word = memory.load(slab + slabField.counters);
    if (inuseOf(word) !== 0 || isFrozen(word) || memory.read(slab + slabField.onNodeList) !== 0) {
      bug(
        `slab of frame ${frames.pfnOf(slab)} is given back with ${inuseOf(word)} objects in use, ` +
          `frozen ${isFrozen(word)}, on its node's list ${memory.read(slab + slabField.onNodeList)}`,
      );
    }
    const node = this.nodeOf(cache, slab);
    memory.add(node + nodeField.nrSlabs, -1);
    memory.add(node + nodeField.totalObjects, -memory.read(slab + slabField.objects));
    const isTypesafe = (memory.read(cache + cacheField.flags) & SlabFlag.TYPESAFE_BY_RCU) !== 0;
    if (isTypesafe) reached("slab-free-before-grace");
    // The links are free: they hold the callback.
    if (isTypesafe && !freesAtOnce) this.rcu.call(slab + slabField.next, this.rcuFreeSlab);
    else this.freePages(slab);
  }

  /** Linux: __free_slab. */
  private freePages(slab: PageRef): void {
    const { memory, frames, pages } = this;
    const pfn = frames.pfnOf(slab);
    const order = memory.read(slab + pageField.type) >> 8;
    this.countPages(memory.read(slab + slabField.cache), slab, -(1 << order));
    pages.setPageType(pfn, PageType.ALLOCATED);
    pages.freePages(pfn, order);
  }

  private takePages(gfp: number, order: number, node: number): number {
    const flags = order > 0 ? gfp | F.COMP : gfp;
    if (node === NO_NODE) return this.pages.allocPages(flags, order);
    return this.pages.allocPagesNode(node, flags, order);
  }

  private format(cache: CacheRef, pfn: number, order: number, objects: number): PageRef {
    const { memory, frames, functions } = this;
    const slab = frames.pageOf(pfn);
    memory.write(slab + slabField.next, 0);
    memory.write(slab + slabField.prev, 0);
    memory.write(slab + slabField.cache, cache);
    memory.store(slab + slabField.counters, slabWord(1, 0, false));
    memory.write(slab + slabField.objects, objects);
    memory.write(slab + slabField.onNodeList, 0);
    memory.write(slab + slabField.slabs, 0);
    this.pages.setPageType(pfn, PageType.SLAB);
    this.countPages(cache, slab, 1 << order);
    const words = memory.read(cache + cacheField.size) >> 2;
    const construct = memory.read(cache + cacheField.construct);
    const isDebug = (memory.read(cache + cacheField.flags) & SLAB_DEBUG_FLAGS) !== 0;
    if (isDebug) this.bytes.initSlab(cache, frameOf(pfn), 1 << order);
    let object = frameOf(pfn) + (memory.read(cache + cacheField.redLeft) >> 2);
    for (let left = objects; left > 0; left--, object += words) {
      if (isDebug) this.initObject(cache, object);
      if (construct !== 0) functions.call(construct, object, 0);
      this.setNext(cache, object, left > 1 ? object + words : 0);
    }
    return slab;
  }

  /** Linux: setup_object_debug. */
  private initObject(cache: CacheRef, object: Pointer): void {
    this.bytes.initObject(cache, object, Poison.RED_INACTIVE);
    if (this.bytes.has(cache, SlabFlag.STORE_USER)) this.tracks.init(cache, object);
  }

  private reportNoStart(object: Pointer, words: number): never {
    bug(`word ${object} is not the start of an object: objects of its slab are ${words} words apart`);
  }

  private reportNoSlab(object: Pointer): never {
    const page = this.memMap + (object >> 10) * 16;
    const type = this.memory.read(page + pageField.type) & 0xff;
    bug(`word ${object} is not in a slab: its page has type ${type}`);
  }

  private zoneFlags(cache: CacheRef): number {
    const flags = this.memory.read(cache + cacheField.flags);
    return (
      ((flags & SlabFlag.CACHE_DMA) !== 0 ? F.DMA : 0) |
      ((flags & SlabFlag.CACHE_DMA32) !== 0 ? F.DMA32 : 0) |
      ((flags & SlabFlag.RECLAIM_ACCOUNT) !== 0 ? F.RECLAIMABLE : 0)
    );
  }

  /** Linux: account_slab, unaccount_slab. */
  private countPages(cache: CacheRef, slab: PageRef, pages: number): void {
    const { frames } = this;
    const isReclaimable = (this.memory.read(cache + cacheField.flags) & SlabFlag.RECLAIM_ACCOUNT) !== 0;
    const item = isReclaimable ? NodeStat.nr_slab_reclaimable : NodeStat.nr_slab_unreclaimable;
    this.pages.vmstat.modNode(frames.nodeAt(frames.nodeOf(slab)), item, pages);
  }
}
