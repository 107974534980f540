/**
 * SLUB behind the door: making and ending its caches, shrinking them, and the first two.
 *
 * The structures of caches are objects of two caches themselves.  Those begin in the kernel image, and move into their
 * own slabs as soon as there are some.
 *
 * Linux: mm/slub.c kmem_cache_init, bootstrap, early_kmem_cache_node_alloc, do_kmem_cache_create, flush_all,
 * __kmem_cache_do_shrink, __kmem_cache_shutdown, get_slabinfo.
 */

import { bug } from "../../memory/bug.ts";
import { listInit, listIsEmpty } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { PAGE_LINKS, type PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { type CacheOptions, writeCache } from "./cache-record.ts";
import { checkSlub } from "./check-slabs.ts";
import {
  type CacheRef,
  cacheBytes,
  KmemCache,
  KmemCacheCpu,
  KmemCacheNode,
  SlabGlobals,
  SlabState,
} from "./kmem-cache.ts";
import type { CacheCount, ObjectAllocator, SlabInfo } from "./object-allocator.ts";
import { PartialLists } from "./partial-lists.ts";
import { SlabFlag } from "./slab-flags.ts";
import { NO_NODE, SlabPages } from "./slab-pages.ts";
import type { AllocatorParts } from "./slab-parts.ts";
import { inuseOf, slabWord } from "./slab-word.ts";
import { Slub } from "./slub.ts";

const CACHE_CPU_BYTES = wordsIn(KmemCacheCpu) * WORD_BYTES;
const CACHE_NODE_BYTES = wordsIn(KmemCacheNode) * WORD_BYTES;
const globalField = SlabGlobals;
const nodeField = KmemCacheNode;
const slabField = SlabPage;
/** Slabs with at most so many free objects come first on a list that was shrunk.  Linux: SHRINK_PROMOTE_MAX. */
const PROMOTED = 32;

export class SlubAllocator implements ObjectAllocator {
  readonly reaper = null;
  declare readonly objects: Slub;
  declare readonly slabs: SlabPages;
  declare private readonly parts: AllocatorParts;
  declare private readonly memory: Memory;
  declare private readonly partials: PartialLists;
  declare private readonly globals: Pointer;

  constructor(parts: AllocatorParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.globals = parts.globals;
    this.slabs = new SlabPages(parts);
    const { slabs } = this;
    this.partials = new PartialLists({ ...parts, slabs });
    this.objects = new Slub({ ...parts, slabs, partials: this.partials });
  }

  /** Nothing of its own lies in the kernel image. */
  format(): void {}

  // ---- a cache ----

  setUp(cache: CacheRef, options: CacheOptions): boolean {
    const { memory, parts } = this;
    const cookie = options.hardened === true ? parts.cpu.random.next() | 1 : 0;
    writeCache(memory, cache, options, { cpus: parts.cpus, cookie });
    const cpuSlab = parts.perCpu.alloc(CACHE_CPU_BYTES, CACHE_CPU_BYTES);
    if (cpuSlab === 0) return false;
    memory.write(cache + KmemCache.cpuSlab, cpuSlab);
    for (let cpu = 0; cpu < parts.possibleCpus; cpu++)
      memory.write(parts.perCpu.of(cpuSlab, cpu) + KmemCacheCpu.tid, cpu);
    if (this.setUpNodes(cache)) return true;
    this.release(cache);
    return false;
  }

  shutDown(cache: CacheRef): boolean {
    return this.shrink(cache);
  }

  /** Sorts each node's list, so that the fullest slabs are used first, and gives back the empty ones. */
  shrink(cache: CacheRef): boolean {
    const { memory } = this;
    let left = 0;
    for (const nid of this.parts.nodes) {
      const node = memory.read(cache + KmemCache.nodes + nid);
      this.dropEmpty(cache, node);
      left += memory.load(node + nodeField.nrSlabs);
    }
    return left === 0;
  }

  /** Linux: slub_cpu_dead. */
  leave(cache: CacheRef): void {
    this.objects.flushCpu(cache);
  }

  hasCpuPart(cache: CacheRef, cpu: number): boolean {
    return this.objects.hasCpuSlab(cache, cpu);
  }

  flushHere(cache: CacheRef): void {
    this.objects.flushCpu(cache);
  }

  /** Linux: slab_ksize. */
  usableBytes(cache: CacheRef): number {
    return this.memory.read(cache + KmemCache.inuse);
  }

  /** Free objects are those of the nodes' lists: what CPUs have counts as used.  @takes list_lock */
  slabInfo(cache: CacheRef): SlabInfo {
    const { memory, parts } = this;
    let slabs = 0;
    let objects = 0;
    let free = 0;
    for (const nid of parts.nodes) {
      const node = memory.read(cache + KmemCache.nodes + nid);
      slabs += memory.load(node + nodeField.nrSlabs);
      objects += memory.load(node + nodeField.totalObjects);
      const head = node + nodeField.partial;
      const irqs = parts.locks.lockIrqSave(node + nodeField.listLock);
      for (let link = memory.read(head); link !== head; link = memory.read(link))
        free += this.freeIn(link - PAGE_LINKS);
      parts.locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    }
    return {
      activeObjects: objects - free,
      objects,
      activeSlabs: slabs,
      slabs,
      sharedAvailable: 0,
      limit: 0,
      batchCount: 0,
      shared: 0,
      objectsPerSlab: memory.read(cache + KmemCache.objects),
      order: memory.read(cache + KmemCache.order),
    };
  }

  check(caches: readonly CacheRef[]): CacheCount[] {
    const { slabs, parts } = this;
    return checkSlub({ ...parts, slabs }, caches);
  }

  private freeIn(slab: PageRef): number {
    const { memory } = this;
    return memory.read(slab + slabField.objects) - inuseOf(memory.load(slab + slabField.counters));
  }

  /** Linux: init_kmem_cache_nodes. */
  private setUpNodes(cache: CacheRef): boolean {
    const { memory, globals } = this;
    const from = memory.read(globals + globalField.kmemCacheNode);
    return this.parts.nodes.every((nid) => {
      if (memory.read(globals + globalField.state) === SlabState.DOWN) {
        this.setUpFirstNode(cache, nid);
        return true;
      }
      const node = this.objects.alloc(from, Gfp.KERNEL, nid);
      if (node !== 0) this.formatNode(cache, nid, node);
      return node !== 0;
    });
  }

  private formatNode(cache: CacheRef, nid: number, node: Pointer): void {
    const { memory } = this;
    memory.fill(node, wordsIn(KmemCacheNode), 0);
    this.parts.locks.format(node + nodeField.listLock, LockClass.SLAB_NODE);
    listInit(memory, node + nodeField.partial);
    memory.write(cache + KmemCache.nodes + nid, node);
  }

  release(cache: CacheRef): void {
    const { memory, globals, parts } = this;
    const from = memory.read(globals + globalField.kmemCacheNode);
    for (const nid of parts.nodes) {
      const node = memory.read(cache + KmemCache.nodes + nid);
      if (node !== 0) this.objects.free(from, node);
      memory.write(cache + KmemCache.nodes + nid, 0);
    }
    parts.perCpu.free(memory.read(cache + KmemCache.cpuSlab));
  }

  /** Gives back the empty slabs of a node's list, and sorts the others.  Linux: __kmem_cache_do_shrink.  @takes list_lock */
  private dropEmpty(cache: CacheRef, node: Pointer): void {
    const { memory, parts, partials, slabs } = this;
    const head = node + nodeField.partial;
    const irqs = parts.locks.lockIrqSave(node + nodeField.listLock);
    const listed: PageRef[] = [];
    while (!listIsEmpty(memory, head)) {
      const slab = memory.read(head) - PAGE_LINKS;
      partials.remove(node, slab);
      listed.push(slab);
    }
    // Others may free meanwhile: each slab is looked at once.
    const found = listed.map((slab) => ({ slab, free: this.freeIn(slab) }));
    const isEmpty = ({ slab, free }: { slab: PageRef; free: number }): boolean =>
      free === memory.read(slab + slabField.objects);
    const kept = found.filter((entry) => !isEmpty(entry));
    const rank = (free: number): number => Math.min(free, PROMOTED + 1);
    for (const { slab } of kept.toSorted((a, b) => rank(a.free) - rank(b.free))) {
      partials.add(node, slab, true);
    }
    parts.locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    for (const { slab } of found.filter(isEmpty)) slabs.discard(cache, slab);
  }

  // ---- the first two caches ----

  bootstrap(link: (cache: CacheRef) => void): void {
    const { memory, globals } = this;
    const bootNode = globals + globalField.bootCaches;
    const bootCache = bootNode + wordsIn(KmemCache);
    const flags = SlabFlag.HWCACHE_ALIGN | SlabFlag.PANIC;
    const nodeCount = this.slabs.frames.nodeCount;
    this.setUpOrPanic(bootNode, { name: "kmem_cache_node", objectBytes: CACHE_NODE_BYTES, flags });
    memory.write(globals + globalField.kmemCacheNode, bootNode);
    memory.write(globals + globalField.state, SlabState.PARTIAL);
    this.setUpOrPanic(bootCache, { name: "kmem_cache", objectBytes: cacheBytes(nodeCount), flags });
    const cache = this.moveHome(bootCache, bootCache);
    link(cache);
    memory.write(globals + globalField.kmemCache, cache);
    const node = this.moveHome(bootNode, cache);
    link(node);
    memory.write(globals + globalField.kmemCacheNode, node);
  }

  private setUpOrPanic(cache: CacheRef, options: CacheOptions): void {
    if (!this.setUp(cache, options)) bug(`no memory for the first object caches (${options.name})`);
  }

  /** The first nodes' structures lie in slabs that they themselves are to count.  Linux: early_kmem_cache_node_alloc. */
  private setUpFirstNode(cache: CacheRef, nid: number): void {
    const { memory, slabs, partials } = this;
    const slab = slabs.make(cache, Gfp.NOWAIT | GfpFlag.THISNODE, nid);
    if (slab === 0) bug(`no memory for the first object caches on node ${nid}`);
    const node = slabs.baseOf(slab);
    const objects = memory.read(slab + slabField.objects);
    memory.store(slab + slabField.counters, slabWord(objects > 1 ? 2 : 0, 1, false));
    this.formatNode(cache, nid, node);
    slabs.countNew(cache, slab);
    if (objects > 1) partials.add(node, slab, false);
  }

  /** Moves a cache from the kernel image into an object of `from`, and tells its slabs.  Linux: bootstrap. */
  private moveHome(cache: CacheRef, from: CacheRef): CacheRef {
    const { memory, objects } = this;
    const home = objects.alloc(from, Gfp.NOWAIT | GfpFlag.ZERO, NO_NODE);
    if (home === 0) bug("no memory for the first object caches");
    memory.copy(home, cache, KmemCache.nodes + this.slabs.frames.nodeCount);
    objects.flushCpu(home);
    for (const nid of this.parts.nodes) {
      const head = memory.read(home + KmemCache.nodes + nid) + nodeField.partial;
      for (let link = memory.read(head); link !== head; link = memory.read(link))
        memory.write(link - PAGE_LINKS + slabField.cache, home);
    }
    return home;
  }
}
