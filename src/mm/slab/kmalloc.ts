/**
 * The kmalloc family: memory by size, without a cache of one's own.
 *
 * A size up to 8 KiB is an object of the next larger class, in the caches of its type (kmalloc-index); a larger one is a
 * compound block of the page allocator, whose head is typed LARGE_KMALLOC.  The caches are made when the first size is
 * asked for, so that a machine whose program asks for none has all its pages; only this first call must be one that may
 * sleep, or come after `start`.
 *
 * Invariants, at rest
 *   K1  each entry of the table is 0 or a cache of the entry's name and size; entries are made in order, so that those
 *       that are 0 come last; no other cache is one of kmalloc's
 *   K2  every LARGE_KMALLOC page heads a compound block of more than KMALLOC_MAX_CACHE_BYTES
 *   K3  pages of slabs and of large blocks together are nr_slab_reclaimable + nr_slab_unreclaimable of each node
 *
 * Linux: mm/slab_common.c create_kmalloc_caches, new_kmalloc_cache, __do_krealloc; mm/slub.c __do_kmalloc_node,
 * ___kmalloc_large_node, kfree, free_large_kmalloc, __ksize.  Differs: caches come with the first use, where Linux makes
 * them at boot; large blocks have a page type, as Linux has from 6.14 on, so that freeing what kmalloc has not given is
 * found; there are no copies by call site (CONFIG_RANDOM_KMALLOC_CACHES), and no buckets of one's own.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Topology } from "../../hardware/topology.ts";
import { bug } from "../../memory/bug.ts";
import type { ImageLayout, Slot } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { array, embed, struct } from "../../memory/struct.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn, type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { Mutex, type Mutexes } from "../../sync/mutex.ts";
import { NodeStat } from "../pages/counters.ts";
import { GfpFlag } from "../pages/gfp.ts";
import { Page, type PageRef, PageType } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { SlabPage, TailPage } from "../pages/page-overlays.ts";
import {
  KMALLOC_MAX_BYTES,
  KMALLOC_MAX_CACHE_BYTES,
  KMALLOC_SIZES,
  kmallocIndex,
  kmallocOrder,
  kmallocSizeRoundup,
} from "./kmalloc-index.ts";
import { KMALLOC_TYPES, KmallocType, kmallocName, kmallocType } from "./kmalloc-type.ts";
import type { CacheRef } from "./kmem-cache.ts";
import type { SizedMemory } from "./object-allocator.ts";
import type { ObjectBytes } from "./object-bytes.ts";
import { NO_NODE } from "./slab-backing.ts";
import type { SlabCaches } from "./slab-caches.ts";
import { SlabFlag } from "./slab-flags.ts";
import { SlubAllocator } from "./slub-allocator.ts";

/** Caches of a type; entry 0 of each type is never used. */
const ENTRIES = KMALLOC_SIZES.length;

export const KmallocGlobals = struct("kmalloc_globals", {
  mutex: embed(Mutex, "atomic"),
  /** By type and index. */
  caches: array(KMALLOC_TYPES * ENTRIES, "hint:kmalloc_mutex", "pointer:kmem_cache"),
});

/**
 * What a request of no bytes gets: no pointer, since the first frame is never handed out, and not null either.  Its byte
 * address is Linux's, 16.
 */
export const ZERO_SIZE_PTR: Pointer = 4;

const globalField = KmallocGlobals;
const pageField = Page;
const slabField = SlabPage;
const { ZERO, COMP, HIGHMEM, DMA32 } = GfpFlag;
/** Linux: GFP_SLAB_BUG_MASK. */
const FORBIDDEN = HIGHMEM | DMA32;
/** CPUs whose requests are the first make the caches at the same time. */
const startsUnlocked = mutant("kmalloc-start-unlocked");
/** Numbers above do not fit Linux's size_t. */
const SIZE_LIMIT = 2 ** 64;

export interface KmallocParts {
  readonly cpu: Cpu;
  readonly slot: Slot;
  readonly mutexes: Mutexes;
  readonly slabs: SlabCaches;
  readonly pages: PageAllocator;
  readonly localNode: number;
  readonly topology: Topology;
  /** Writes to the kernel log. */
  readonly report: (text: string) => void;
}

export class Kmalloc {
  declare readonly globals: Pointer;
  declare private readonly parts: KmallocParts;
  declare private readonly memory: Memory;
  declare private readonly slabs: SlabCaches;
  /** Where sizes come from without caches (SLOB), or null. */
  declare private readonly sized: SizedMemory | null;
  declare private readonly pages: PageAllocator;
  declare private readonly memMap: Pointer;
  declare private readonly table: Pointer;
  declare private readonly hasDmaZone: boolean;
  /** Where objects keep what was asked for; null on a machine without debugging of object caches. */
  declare private readonly debugged: ObjectBytes | null;
  /** Of the smallest class.  Linux: KMALLOC_MIN_SIZE. */
  declare private readonly leastBytes: number;

  constructor(parts: KmallocParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.slabs = parts.slabs;
    this.sized = parts.slabs.allocator.sized;
    this.pages = parts.pages;
    this.memMap = parts.pages.frames.memMap;
    this.globals = parts.slot.address;
    this.table = this.globals + globalField.caches;
    this.hasDmaZone = parts.topology.zones.dmaBytes > 0;
    const { allocator, hasDebugging } = parts.slabs;
    this.debugged = hasDebugging && allocator instanceof SlubAllocator ? allocator.bytes : null;
    this.leastBytes = parts.slabs.kind === "slab" ? 32 : 8;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("kmalloc_globals", KmallocGlobals);
  }

  /** First state, on the boot CPU. */
  format(): void {
    this.parts.mutexes.format(this.globals + globalField.mutex, LockClass.KMALLOC);
  }

  // ---- allocate ----

  /** `bytes` of memory; 0 when there is none, ZERO_SIZE_PTR for no bytes.  @may-sleep with __GFP_DIRECT_RECLAIM */
  kmalloc(bytes: number, gfp: number): Pointer {
    return this.kmallocNode(bytes, gfp, NO_NODE);
  }

  /** The same of `node`, or of a node near it. */
  kmallocNode(bytes: number, gfp: number, node: number): Pointer {
    const { sized } = this;
    if (sized !== null && bytes > 0 && bytes <= KMALLOC_MAX_BYTES && Number.isInteger(bytes))
      return sized.kmalloc(bytes, gfp, node);
    if (bytes > KMALLOC_MAX_CACHE_BYTES) return this.kmallocLarge(bytes, gfp, node);
    if (bytes <= 0 || bytes !== (bytes | 0)) return this.nothing(bytes);
    const cache = this.cacheFor(bytes < this.leastBytes ? this.leastBytes : bytes, gfp);
    if (cache === 0) return 0;
    const object = node === NO_NODE ? this.slabs.alloc(cache, gfp) : this.slabs.allocNode(cache, gfp, node);
    if (this.debugged !== null && object !== 0) this.debugged.narrowRequest(cache, object, bytes);
    return object;
  }

  /** Zeroed. */
  kzalloc(bytes: number, gfp: number): Pointer {
    return this.kmallocNode(bytes, gfp | ZERO, NO_NODE);
  }

  /** `count` elements of `bytes` each; 0 when the product overflows. */
  kmallocArray(count: number, bytes: number, gfp: number): Pointer {
    const all = count * bytes;
    return all >= SIZE_LIMIT ? 0 : this.kmallocNode(all, gfp, NO_NODE);
  }

  /** The same, zeroed. */
  kcalloc(count: number, bytes: number, gfp: number): Pointer {
    return this.kmallocArray(count, bytes, gfp | ZERO);
  }

  /**
   * Memory of `bytes` with what `object` holds, which is freed if the answer is another; 0, and `object` stays, when
   * there is none.  With __GFP_ZERO all behind `bytes` is zeroed, as is all behind what `object` held: that is only exact
   * if `object` was made with __GFP_ZERO, too.
   */
  krealloc(object: Pointer, bytes: number, gfp: number): Pointer {
    if (bytes === 0) {
      this.kfree(object);
      return ZERO_SIZE_PTR;
    }
    const held = this.ksize(object);
    if (held >= bytes) {
      if ((gfp & ZERO) !== 0) this.zeroBytes(object, bytes, held);
      return object;
    }
    const fresh = this.kmallocNode(bytes, gfp, NO_NODE);
    if (fresh === 0 || held === 0) return fresh;
    this.copyBytes(fresh, object, held);
    this.kfree(object);
    return fresh;
  }

  // ---- free ----

  /** Null and ZERO_SIZE_PTR are allowed. */
  kfree(object: Pointer): void {
    if (object === 0 || object === ZERO_SIZE_PTR) return;
    if (this.sized !== null) {
      this.sized.kfree(object);
      return;
    }
    const page = this.headOf(object);
    if ((this.memory.read(page + pageField.type) & 0xff) !== PageType.SLAB) this.freeLarge(page, object);
    else this.slabs.free(this.memory.read(page + slabField.cache), object);
  }

  /** Bytes that may be used: those of the class, or of the pages.  0 of null and of ZERO_SIZE_PTR. */
  ksize(object: Pointer): number {
    if (object === 0 || object === ZERO_SIZE_PTR) return 0;
    if (this.sized !== null) return this.sized.ksize(object);
    const { memory } = this;
    const page = this.headOf(object);
    const type = memory.read(page + pageField.type);
    if ((type & 0xff) === PageType.SLAB) return this.usableBytes(memory.read(page + slabField.cache), object);
    this.checkLarge(page, object, "ksize");
    return PAGE_BYTES << (type >> 8);
  }

  /** What a request of `bytes` really has to use.  Linux: kmalloc_size_roundup. */
  kmallocSizeRoundup(bytes: number): number {
    return kmallocSizeRoundup(bytes > 0 ? Math.max(bytes, this.leastBytes) : bytes);
  }

  private usableBytes(cache: CacheRef, object: Pointer): number {
    this.debugged?.widenRequest(cache, object);
    return this.slabs.allocator.usableBytes(cache);
  }

  // ---- caches ----

  /**
   * Makes the caches; true when there are all.  Programs whose first request comes from where it may not sleep call this
   * before.  Linux: create_kmalloc_caches.
   * @may-sleep   @takes kmalloc_mutex -> slab_mutex
   */
  start(): boolean {
    if (this.sized !== null) return true;
    const { memory, table, slabs } = this;
    const { mutexes } = this.parts;
    const mutex = this.globals + globalField.mutex;
    reached("kmalloc-start-unlocked");
    if (!startsUnlocked) mutexes.lock(mutex);
    let areAll = true;
    for (let type = 0; type < KMALLOC_TYPES && areAll; type++) {
      for (let index = 1; index < ENTRIES && areAll; index++) {
        const at = table + type * ENTRIES + index;
        if (!this.hasClass(type, index) || memory.read(at) !== 0) continue;
        const cache = slabs.create(kmallocOptions(type, index));
        areAll = cache !== 0;
        memory.store(at, cache);
      }
    }
    if (!startsUnlocked) mutexes.unlock(mutex);
    return areAll;
  }

  /** The cache at a place of the table; 0 while there is none. */
  cacheAt(type: number, index: number): CacheRef {
    return this.memory.read(this.table + type * ENTRIES + index);
  }

  /** Whether there is such a cache on this machine: SLAB has none below 32 bytes. */
  hasClass(type: number, index: number): boolean {
    return (type !== KmallocType.DMA || this.hasDmaZone) && KMALLOC_SIZES[index] >= this.leastBytes;
  }

  /** Every cache of the machine, at rest. */
  allCaches(): CacheRef[] {
    return this.slabs.all();
  }

  private cacheFor(bytes: number, gfp: number): CacheRef {
    const at = this.table + kmallocType(gfp, this.hasDmaZone) * ENTRIES + kmallocIndex(bytes);
    const cache = this.memory.read(at);
    return cache !== 0 ? cache : this.firstUse(at);
  }

  private firstUse(at: Pointer): CacheRef {
    this.parts.cpu.mightSleep("the first kmalloc of all, which makes the caches (see Kmalloc.start)");
    this.start();
    return this.memory.read(at);
  }

  // ---- large blocks ----

  /** Linux: ___kmalloc_large_node. */
  private kmallocLarge(bytes: number, gfp: number, node: number): Pointer {
    const { pages, parts } = this;
    if (!Number.isInteger(bytes)) return this.nothing(bytes);
    const forbidden = gfp & FORBIDDEN;
    if (forbidden !== 0) {
      const hex = (flags: number): string => `0x${flags.toString(16)}`;
      parts.report(
        `Unexpected gfp: ${hex(forbidden)}. Fixing up to gfp: ${hex(gfp & ~FORBIDDEN)}. Fix your code!`,
      );
    }
    if (bytes > KMALLOC_MAX_BYTES) {
      if ((gfp & GfpFlag.NOWARN) === 0)
        parts.report(`WARNING: kmalloc: ${bytes} bytes are more than KMALLOC_MAX_SIZE ${KMALLOC_MAX_BYTES}`);
      return 0;
    }
    const order = kmallocOrder(bytes);
    const flags = (gfp & ~FORBIDDEN) | COMP;
    const from = node === NO_NODE ? parts.localNode : node;
    const pfn = pages.allocPagesNode(from, flags, order);
    if (pfn === 0) return 0;
    pages.setPageType(pfn, PageType.LARGE_KMALLOC);
    this.countPages(pfn, 1 << order);
    return frameOf(pfn);
  }

  /** Linux: free_large_kmalloc. */
  private freeLarge(page: PageRef, object: Pointer): void {
    const { pages, memory } = this;
    this.checkLarge(page, object, "kfree");
    const pfn = pages.frames.pfnOf(page);
    const order = memory.read(page + pageField.type) >> 8;
    this.countPages(pfn, -(1 << order));
    pages.setPageType(pfn, PageType.ALLOCATED);
    pages.freePages(pfn, order);
  }

  private countPages(pfn: Pfn, count: number): void {
    const { frames, vmstat } = this.pages;
    vmstat.modNode(frames.nodeAt(frames.nodeOf(frames.pageOf(pfn))), NodeStat.nr_slab_unreclaimable, count);
  }

  private checkLarge(page: PageRef, object: Pointer, what: string): void {
    const type = this.memory.read(page + pageField.type) & 0xff;
    if (type !== PageType.LARGE_KMALLOC)
      bug(`${what} of word ${object}: its page has type ${type}, neither a slab nor a large kmalloc block`);
    if (object % FRAME_WORDS !== 0 || this.pages.frames.pageOf(object / FRAME_WORDS) !== page)
      bug(`${what} of word ${object}: it is inside a large kmalloc block, not its start`);
  }

  /** The descriptor of the block that `object` lies in.  Linux: virt_to_folio. */
  private headOf(object: Pointer): PageRef {
    const { memory } = this;
    const page = this.memMap + (object >> 10) * 16;
    const isTail = (memory.read(page + pageField.type) & 0xff) === PageType.TAIL;
    return isTail ? memory.read(page + TailPage.head) : page;
  }

  private copyBytes(to: Pointer, from: Pointer, bytes: number): void {
    const { memory } = this;
    const words = bytes >> 2;
    memory.copy(to, from, words);
    for (let at = words * WORD_BYTES; at < bytes; at++)
      memory.writeByte(to * WORD_BYTES + at, memory.readByte(from * WORD_BYTES + at));
  }

  private zeroBytes(object: Pointer, from: number, to: number): void {
    const { memory } = this;
    const start = object * WORD_BYTES;
    const first = Math.min(Math.ceil(from / WORD_BYTES) * WORD_BYTES, to);
    const last = Math.max(first, to - (to % WORD_BYTES));
    for (let at = from; at < first; at++) memory.writeByte(start + at, 0);
    memory.fill(object + first / WORD_BYTES, (last - first) / WORD_BYTES, 0);
    for (let at = last; at < to; at++) memory.writeByte(start + at, 0);
  }

  private nothing(bytes: number): Pointer {
    if (bytes !== 0) bug(`kmalloc of ${bytes} bytes: valid are whole numbers from 0`);
    return ZERO_SIZE_PTR;
  }
}

/**
 * A power of two is aligned to its size, other sizes to their largest divisor that is one.  Linux: new_kmalloc_cache,
 * create_boot_cache.
 */
function kmallocOptions(
  type: number,
  index: number,
): { name: string; objectBytes: number; alignBytes: number; flags: number } {
  const objectBytes = KMALLOC_SIZES[index];
  let flags: number = SlabFlag.PANIC | SlabFlag.KMALLOC;
  if (type === KmallocType.NORMAL) flags |= SlabFlag.NO_MERGE;
  if (type === KmallocType.CGROUP) flags |= SlabFlag.ACCOUNT;
  if (type === KmallocType.RECLAIM) flags |= SlabFlag.RECLAIM_ACCOUNT;
  if (type === KmallocType.DMA) flags |= SlabFlag.CACHE_DMA;
  const alignBytes = objectBytes & -objectBytes;
  return { name: kmallocName(type, index), objectBytes, alignBytes, flags };
}
