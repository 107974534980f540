/**
 * Object caches: `kmem_cache_create` and its kin, seen from one CPU.
 *
 * The structures of caches are objects of two caches themselves.  Those begin in the kernel image, and move into their
 * own slabs as soon as there are some.  This happens when the first cache is made, so that a machine whose program uses
 * none has all its pages.
 *
 * A CPU that leaves gives its slabs up (`leave`): who flushes a cache calls the CPUs that are online, and no others.
 *
 * Linux: mm/slab_common.c kmem_cache_create, kmem_cache_destroy; mm/slub.c kmem_cache_init, bootstrap,
 * early_kmem_cache_node_alloc, flush_all, __kmem_cache_do_shrink, __kmem_cache_shutdown.  Differs: CPUs flush in an
 * interrupt, where Linux queues work on each; caches of equal objects are not merged.
 */

import { bug } from "../../memory/bug.ts";
import type { ImageLayout, Slot } from "../../memory/image.ts";
import { listAddTail, listDel, listInit, listIsEmpty } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { wordsIn } from "../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { FunctionId } from "../../sync/functions.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { Node } from "../pages/node.ts";
import { PAGE_LINKS, type PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { type CacheOptions, readName, writeCache } from "./cache-record.ts";
import {
  type CacheRef,
  cacheBytes,
  KmemCache,
  KmemCacheCpu,
  KmemCacheNode,
  SlabGlobals,
  SlabState,
} from "./kmem-cache.ts";
import { PartialLists } from "./partial-lists.ts";
import { SlabFlag } from "./slab-flags.ts";
import { SlabPages } from "./slab-pages.ts";
import type { SlabParts } from "./slab-parts.ts";
import { inuseOf, slabWord } from "./slab-word.ts";
import { Slub } from "./slub.ts";

const CACHE_CPU_BYTES = wordsIn(KmemCacheCpu) * WORD_BYTES;
const CACHE_NODE_BYTES = wordsIn(KmemCacheNode) * WORD_BYTES;
const globalField = SlabGlobals;
const nodeField = KmemCacheNode;
const slabField = SlabPage;
/** Slabs with at most so many free objects come first on a list that was shrunk.  Linux: SHRINK_PROMOTE_MAX. */
const PROMOTED = 32;

export class SlabCaches {
  /** Where the caches' globals are. */
  declare readonly globals: Pointer;
  declare readonly slabs: SlabPages;
  declare readonly possibleCpus: number;
  /** Nodes with memory. */
  declare readonly nodes: readonly number[];
  declare private readonly parts: SlabParts;
  declare private readonly memory: Memory;
  declare private readonly slub: Slub;
  declare private readonly partials: PartialLists;
  declare private readonly mutex: Pointer;
  declare private readonly flushFunction: FunctionId;

  constructor(parts: SlabParts) {
    const { cpu, pages, possibleCpus } = parts;
    this.parts = parts;
    this.memory = cpu.memory;
    this.possibleCpus = possibleCpus;
    this.globals = parts.slot.address;
    this.mutex = this.globals + globalField.mutex;
    this.slabs = new SlabPages(pages, parts.functions);
    const { slabs } = this;
    this.partials = new PartialLists({ ...parts, slabs });
    this.slub = new Slub({ ...parts, slabs, partials: this.partials });
    const { frames } = pages;
    this.nodes = Array.from({ length: frames.nodeCount }, (_, node) => node).filter(
      (node) => cpu.memory.read(frames.nodeAt(node) + Node.presentPages) > 0,
    );
    this.flushFunction = parts.functions.register("flush_cpu_slab", (_cpu, cache) =>
      this.slub.flushCpu(cache),
    );
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("slab_globals", SlabGlobals);
  }

  /** First state, on the boot CPU. */
  format(): void {
    this.memory.write(this.globals + globalField.state, SlabState.DOWN);
    this.parts.mutexes.format(this.mutex, LockClass.SLAB_MUTEX);
    listInit(this.memory, this.globals + globalField.caches);
  }

  // ---- objects ----

  /** An object, or 0.  Linux: kmem_cache_alloc. */
  alloc(cache: CacheRef, gfp: number): Pointer {
    return this.slub.alloc(cache, gfp);
  }

  /** An object of `node` if it has one or memory for one, else of a node near it.  Linux: kmem_cache_alloc_node. */
  allocNode(cache: CacheRef, gfp: number, node: number): Pointer {
    return this.slub.alloc(cache, gfp, node);
  }

  /** Linux: kmem_cache_free. */
  free(cache: CacheRef, object: Pointer): void {
    this.slub.free(cache, object);
  }

  /** `count` objects, appended to `into`, or none: true if there were as many.  Linux: kmem_cache_alloc_bulk. */
  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    return this.slub.allocBulk(cache, gfp, count, into);
  }

  /** Linux: kmem_cache_free_bulk. */
  freeBulk(cache: CacheRef, objects: readonly Pointer[]): void {
    this.slub.freeBulk(cache, objects);
  }

  // ---- caches ----

  /** A cache of such objects, or 0 when there is no memory for it.  Linux: kmem_cache_create.  @may-sleep */
  create(options: CacheOptions): CacheRef {
    const { memory, parts, globals } = this;
    parts.mutexes.lock(this.mutex);
    if (memory.read(globals + globalField.state) === SlabState.DOWN) this.bootstrap();
    const from = memory.read(globals + globalField.kmemCache);
    const cache = this.slub.alloc(from, Gfp.KERNEL | GfpFlag.ZERO);
    const isMade = cache !== 0 && this.setUp(cache, options);
    if (isMade) this.link(cache);
    else if (cache !== 0) this.slub.free(from, cache);
    parts.mutexes.unlock(this.mutex);
    if (isMade) return cache;
    if (((options.flags ?? 0) & SlabFlag.PANIC) !== 0) bug(`kmem_cache_create(${options.name}): no memory`);
    return 0;
  }

  /**
   * Ends a cache; all its pages go back.  False, and the cache stays, when some of its objects are still in use.
   * Linux: kmem_cache_destroy.
   * @may-sleep
   */
  destroy(cache: CacheRef): boolean {
    const { memory, parts } = this;
    parts.mutexes.lock(this.mutex);
    this.flushAll(cache);
    let left = 0;
    for (const nid of this.nodes) {
      const node = memory.read(cache + KmemCache.nodes + nid);
      this.dropEmpty(cache, node);
      left += memory.load(node + nodeField.nrSlabs);
    }
    if (left === 0) this.release(cache);
    parts.mutexes.unlock(this.mutex);
    if (left > 0) parts.report(`kmem_cache_destroy ${readName(memory, cache)}: Slab cache still has objects`);
    return left === 0;
  }

  /**
   * Gives back the slabs without objects in use, and sorts each node's list so that the fullest slabs are used first.
   * True when no slab is left.  Linux: kmem_cache_shrink.
   * @may-sleep
   */
  shrink(cache: CacheRef): boolean {
    const { memory, parts } = this;
    parts.mutexes.lock(this.mutex);
    this.flushAll(cache);
    let left = 0;
    for (const nid of this.nodes) {
      const node = memory.read(cache + KmemCache.nodes + nid);
      this.dropEmpty(cache, node);
      left += memory.load(node + nodeField.nrSlabs);
    }
    parts.mutexes.unlock(this.mutex);
    return left === 0;
  }

  /** All CPUs give up their slabs of the cache.  Linux: flush_all.  @may-sleep */
  flushAll(cache: CacheRef): void {
    const { calls, online } = this.parts;
    calls.onEachOf(online.mask, this.flushFunction, cache, true, (cpu) => this.slub.hasCpuSlab(cache, cpu));
  }

  /** This CPU is about to go offline: it gives up its slabs of all caches.  Linux: slub_cpu_dead.  @may-sleep */
  leave(): void {
    const { memory, parts, globals } = this;
    if (memory.read(globals + globalField.state) !== SlabState.UP) return;
    parts.mutexes.lock(this.mutex);
    for (const cache of this.all()) this.slub.flushCpu(cache);
    parts.mutexes.unlock(this.mutex);
  }

  /** All caches, oldest first; at rest, or with slab_mutex held. */
  all(): CacheRef[] {
    const { memory } = this;
    const head = this.globals + globalField.caches;
    const found: CacheRef[] = [];
    if (memory.read(this.globals + globalField.state) === SlabState.DOWN) return found;
    for (let link = memory.read(head); link !== head; link = memory.read(link))
      found.push(link - KmemCache.links);
    return found;
  }

  // ---- making and ending ----

  /** False when there is no memory.  @holds slab_mutex */
  private setUp(cache: CacheRef, options: CacheOptions): boolean {
    const { memory, parts, possibleCpus } = this;
    const cookie = options.hardened === true ? parts.cpu.random.next() | 1 : 0;
    writeCache(memory, cache, options, { cpus: parts.cpus, cookie });
    const cpuSlab = parts.perCpu.alloc(CACHE_CPU_BYTES, CACHE_CPU_BYTES);
    if (cpuSlab === 0) return false;
    memory.write(cache + KmemCache.cpuSlab, cpuSlab);
    for (let cpu = 0; cpu < possibleCpus; cpu++)
      memory.write(parts.perCpu.of(cpuSlab, cpu) + KmemCacheCpu.tid, cpu);
    if (this.setUpNodes(cache)) return true;
    this.freeParts(cache);
    return false;
  }

  /** Linux: init_kmem_cache_nodes. */
  private setUpNodes(cache: CacheRef): boolean {
    const { memory, globals } = this;
    const from = memory.read(globals + globalField.kmemCacheNode);
    return this.nodes.every((nid) => {
      if (memory.read(globals + globalField.state) === SlabState.DOWN) {
        this.setUpFirstNode(cache, nid);
        return true;
      }
      const node = this.slub.alloc(from, Gfp.KERNEL, nid);
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

  private link(cache: CacheRef): void {
    listAddTail(this.memory, cache + KmemCache.links, this.globals + globalField.caches);
  }

  /** Linux: slab_kmem_cache_release.  @holds slab_mutex */
  private release(cache: CacheRef): void {
    const { memory, globals } = this;
    listDel(memory, cache + KmemCache.links);
    this.freeParts(cache);
    this.slub.free(memory.read(globals + globalField.kmemCache), cache);
  }

  private freeParts(cache: CacheRef): void {
    const { memory, globals, parts } = this;
    const from = memory.read(globals + globalField.kmemCacheNode);
    for (const nid of this.nodes) {
      const node = memory.read(cache + KmemCache.nodes + nid);
      if (node !== 0) this.slub.free(from, node);
      memory.write(cache + KmemCache.nodes + nid, 0);
    }
    parts.perCpu.free(memory.read(cache + KmemCache.cpuSlab));
  }

  /** Gives back the empty slabs of a node's list, and sorts the others.  Linux: __kmem_cache_do_shrink.  @takes list_lock */
  private dropEmpty(cache: CacheRef, node: Pointer): void {
    const { memory, parts, partials, slabs } = this;
    const head = node + nodeField.partial;
    const freeOf = (slab: PageRef): number =>
      memory.read(slab + slabField.objects) - inuseOf(memory.load(slab + slabField.counters));
    const irqs = parts.locks.lockIrqSave(node + nodeField.listLock);
    const listed: PageRef[] = [];
    while (!listIsEmpty(memory, head)) {
      const slab = memory.read(head) - PAGE_LINKS;
      partials.remove(node, slab);
      listed.push(slab);
    }
    // Others may free meanwhile: each slab is looked at once.
    const found = listed.map((slab) => ({ slab, free: freeOf(slab) }));
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

  /** Linux: kmem_cache_init.  @holds slab_mutex */
  private bootstrap(): void {
    const { memory, globals } = this;
    const bootNode = globals + globalField.bootCaches;
    const bootCache = bootNode + wordsIn(KmemCache);
    const flags = SlabFlag.HWCACHE_ALIGN | SlabFlag.PANIC;
    const nodeCount = this.slabs.frames.nodeCount;
    this.setUpOrPanic(bootNode, { name: "kmem_cache_node", objectBytes: CACHE_NODE_BYTES, flags });
    memory.write(globals + globalField.kmemCacheNode, bootNode);
    memory.write(globals + globalField.state, SlabState.PARTIAL);
    this.setUpOrPanic(bootCache, { name: "kmem_cache", objectBytes: cacheBytes(nodeCount), flags });
    memory.write(globals + globalField.kmemCache, this.moveHome(bootCache, bootCache));
    const cache = memory.read(globals + globalField.kmemCache);
    memory.write(globals + globalField.kmemCacheNode, this.moveHome(bootNode, cache));
    memory.write(globals + globalField.state, SlabState.UP);
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
    const { memory, slub } = this;
    const home = slub.alloc(from, Gfp.NOWAIT | GfpFlag.ZERO);
    if (home === 0) bug("no memory for the first object caches");
    memory.copy(home, cache, KmemCache.nodes + this.slabs.frames.nodeCount);
    slub.flushCpu(home);
    for (const nid of this.nodes) {
      const head = memory.read(home + KmemCache.nodes + nid) + nodeField.partial;
      for (let link = memory.read(head); link !== head; link = memory.read(link))
        memory.write(link - PAGE_LINKS + slabField.cache, home);
    }
    this.link(home);
    return home;
  }
}
