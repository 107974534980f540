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
import { frameOf, type Pointer, pfnOf, WORD_BYTES } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { PAGE_LINKS, type PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { type CacheOptions, writeCache } from "./cache-record.ts";
import { checkSlub } from "./check-slabs.ts";
import { FreelistRandom } from "./freelist-random.ts";
import {
  type CacheRef,
  cacheBytes,
  KmemCache,
  KmemCacheCpu,
  KmemCacheNode,
  SlabGlobals,
  SlabState,
} from "./kmem-cache.ts";
import type { CacheCount, ObjectAllocator, ObjectPaths, SlabInfo } from "./object-allocator.ts";
import { ObjectBytes, Poison } from "./object-bytes.ts";
import { PartialLists } from "./partial-lists.ts";
import { NO_NODE } from "./slab-backing.ts";
import { SlabChecks } from "./slab-checks.ts";
import { SLAB_DEBUG_FLAGS, SLAB_METADATA_FLAGS, SlabFlag } from "./slab-flags.ts";
import { leastOrders, PartBytes } from "./slab-layout.ts";
import { SlabPages } from "./slab-pages.ts";
import type { AllocatorParts } from "./slab-parts.ts";
import { SlabReports } from "./slab-report.ts";
import { debugFlagsOf, readSlabDebug, type SlabDebug } from "./slab-settings.ts";
import { PLACES_ORDER, Tracks } from "./slab-track.ts";
import { inuseOf, slabWord } from "./slab-word.ts";
import { Slub } from "./slub.ts";
import { SlubDebug } from "./slub-debug.ts";

const CACHE_CPU_BYTES = wordsIn(KmemCacheCpu) * WORD_BYTES;
const CACHE_NODE_BYTES = wordsIn(KmemCacheNode) * WORD_BYTES;
const globalField = SlabGlobals;
const nodeField = KmemCacheNode;
const slabField = SlabPage;
/** Slabs with at most so many free objects come first on a list that was shrunk.  Linux: SHRINK_PROMOTE_MAX. */
const PROMOTED = 32;

export class SlubAllocator implements ObjectAllocator {
  readonly sized = null;
  readonly reaper = null;
  declare objects: ObjectPaths;
  declare protected readonly slub: Slub;
  declare readonly slabs: SlabPages;
  declare protected readonly parts: AllocatorParts;
  declare protected readonly memory: Memory;
  declare private readonly partials: PartialLists;
  declare readonly bytes: ObjectBytes;
  declare private readonly order: FreelistRandom;
  declare private readonly debug: SlubDebug;
  declare private readonly debugSettings: SlabDebug;
  declare protected readonly globals: Pointer;

  constructor(parts: AllocatorParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.globals = parts.globals;
    const bytes = new ObjectBytes(parts.cpu.memory);
    const tracks = new Tracks(parts.cpu, bytes, parts.globals);
    this.bytes = bytes;
    this.order = new FreelistRandom(parts);
    const { order } = this;
    this.slabs = new SlabPages({ ...parts, bytes, tracks, order });
    const { slabs } = this;
    this.partials = new PartialLists({ ...parts, slabs });
    const { partials } = this;
    const reports = new SlabReports({ ...parts, bytes, tracks, slabs, panics: parts.settings.panic });
    const checks = new SlabChecks({ bytes, slabs, reports });
    this.debug = new SlubDebug({ ...parts, bytes, tracks, slabs, partials, reports, checks });
    this.slub = new Slub({ ...parts, slabs, partials, debug: this.debug });
    this.objects = this.slub;
    this.debugSettings = readSlabDebug(parts.settings.debug);
  }

  /** Room for the places of callers, if the machine is told to store any.  Linux: stack_depot_early_init. */
  format(): void {
    if (this.debugSettings.blocks.some(({ flags }) => (flags & SlabFlag.STORE_USER) !== 0)) this.makePlaces();
  }

  // ---- a cache ----

  setUp(cache: CacheRef, options: CacheOptions): boolean {
    const { memory, parts } = this;
    const cookie = options.hardened === true ? parts.cpu.random.next() | 1 : 0;
    const flags = this.flagsOf(options);
    writeCache(memory, cache, { ...options, flags }, { cpus: parts.cpus, cookie });
    const cpuSlab = parts.perCpu.alloc(CACHE_CPU_BYTES, CACHE_CPU_BYTES);
    if (cpuSlab === 0) return false;
    if ((flags & SlabFlag.STORE_USER) !== 0) this.makePlaces();
    memory.write(cache + KmemCache.cpuSlab, cpuSlab);
    for (let cpu = 0; cpu < parts.possibleCpus; cpu++)
      memory.write(parts.perCpu.of(cpuSlab, cpu) + KmemCacheCpu.tid, cpu);
    if (this.setUpOrder(cache) && this.setUpNodes(cache)) return true;
    this.dropPlaces(cache);
    this.release(cache);
    return false;
  }

  /** The first caches keep their order. */
  private setUpOrder(cache: CacheRef): boolean {
    const isFirst = this.memory.read(this.globals + globalField.state) !== SlabState.UP;
    return isFirst || !this.parts.settings.random || this.order.create(cache);
  }

  /** The cache's own flags and what the machine is told to debug.  Linux: kmem_cache_flags, kmem_cache_open. */
  private flagsOf(options: CacheOptions): number {
    const { debugSettings } = this;
    const flags = debugFlagsOf(debugSettings, options.flags ?? 0, options.name);
    if (!debugSettings.keepsOrders || (flags & SLAB_DEBUG_FLAGS) === 0) return flags;
    const hasConstructor = (options.construct ?? 0) !== 0;
    const { minOrder, plainOrder } = leastOrders({ ...options, flags, hasConstructor }, this.parts.cpus);
    return minOrder > plainOrder ? flags & ~SLAB_METADATA_FLAGS : flags;
  }

  /** One more needs the table of places in the code: at boot, or @holds slab_mutex. */
  private makePlaces(): void {
    const { memory, globals, parts } = this;
    const users = memory.read(globals + globalField.placeUsers);
    memory.write(globals + globalField.placeUsers, users + 1);
    if (users !== 0) return;
    const pfn = parts.pages.allocPages(Gfp.KERNEL | GfpFlag.ZERO | GfpFlag.COMP, PLACES_ORDER);
    memory.write(globals + globalField.places, frameOf(pfn));
  }

  /** A cache that ends, without objects, needs it no more.  @holds slab_mutex */
  private dropPlaces(cache: CacheRef): void {
    const { memory, globals, parts } = this;
    if (!this.bytes.has(cache, SlabFlag.STORE_USER)) return;
    const users = memory.read(globals + globalField.placeUsers) - 1;
    memory.write(globals + globalField.placeUsers, users);
    const table = memory.read(globals + globalField.places);
    if (users !== 0 || table === 0) return;
    memory.write(globals + globalField.places, 0);
    parts.pages.freePages(pfnOf(table), PLACES_ORDER);
  }

  /** Looks at all objects on demand.  Linux: validate_store. */
  validate(cache: CacheRef): { slabs: number; errors: number } {
    if (!this.debug.isOn(cache)) return { slabs: 0, errors: 0 };
    return this.debug.validate(cache, this.parts.nodes);
  }

  raiseUse(cache: CacheRef, objectBytes: number): void {
    const at = cache + KmemCache.inuse;
    const bytes = Math.ceil(objectBytes / PartBytes.POINTER) * PartBytes.POINTER;
    this.memory.write(at, Math.max(this.memory.read(at), bytes));
  }

  /** Under debugging also who has what is left.  Linux: __kmem_cache_shutdown. */
  shutDown(cache: CacheRef): boolean {
    const isEmpty = this.shrink(cache);
    if (isEmpty) this.dropPlaces(cache);
    else if (this.debug.isOn(cache))
      for (const nid of this.parts.nodes)
        this.debug.reportLeft(cache, this.memory.read(cache + KmemCache.nodes + nid));
    return isEmpty;
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
    this.slub.flushCpu(cache);
  }

  hasCpuPart(cache: CacheRef, cpu: number): boolean {
    return this.slub.hasCpuSlab(cache, cpu);
  }

  flushHere(cache: CacheRef): void {
    this.slub.flushCpu(cache);
  }

  /** What lies behind an object may be its user's, too, unless something else does.  Linux: slab_ksize. */
  usableBytes(cache: CacheRef): number {
    const { memory, bytes } = this;
    const { RED_ZONE, POISON, TYPESAFE_BY_RCU, STORE_USER } = SlabFlag;
    if (bytes.has(cache, RED_ZONE | POISON)) return memory.read(cache + KmemCache.objectSize);
    const isKept = bytes.has(cache, TYPESAFE_BY_RCU | STORE_USER);
    return memory.read(cache + (isKept ? KmemCache.inuse : KmemCache.size));
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
    listInit(memory, node + nodeField.full);
    memory.write(cache + KmemCache.nodes + nid, node);
  }

  release(cache: CacheRef): void {
    const { memory, globals, parts } = this;
    const from = memory.read(globals + globalField.kmemCacheNode);
    for (const nid of parts.nodes) {
      const node = memory.read(cache + KmemCache.nodes + nid);
      if (node !== 0) this.slub.free(from, node);
      memory.write(cache + KmemCache.nodes + nid, 0);
    }
    this.order.release(cache);
    parts.perCpu.free(memory.read(cache + KmemCache.cpuSlab));
  }

  /** Gives back the empty slabs of a node's list, and sorts the others.  Linux: __kmem_cache_do_shrink.  @takes list_lock */
  private dropEmpty(cache: CacheRef, node: Pointer): void {
    const { memory, parts, partials } = this;
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
    for (const { slab } of found.filter(isEmpty)) this.debug.discard(cache, slab);
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
    const node = slabs.baseOf(slab) + memory.read(cache + KmemCache.redLeft) / WORD_BYTES;
    const objects = memory.read(slab + slabField.objects);
    memory.store(slab + slabField.counters, slabWord(objects > 1 ? 2 : 0, 1, false));
    if (this.debug.isOn(cache)) this.bytes.initObject(cache, node, Poison.RED_ACTIVE);
    this.formatNode(cache, nid, node);
    slabs.countNew(cache, slab);
    if (objects > 1) partials.add(node, slab, false);
    else if (this.debug.isOn(cache)) this.debug.addFull(cache, node, slab);
  }

  /** Moves a cache from the kernel image into an object of `from`, and tells its slabs.  Linux: bootstrap. */
  private moveHome(cache: CacheRef, from: CacheRef): CacheRef {
    const { memory, slub } = this;
    const home = slub.alloc(from, Gfp.NOWAIT | GfpFlag.ZERO, NO_NODE);
    if (home === 0) bug("no memory for the first object caches");
    memory.copy(home, cache, KmemCache.nodes + this.slabs.frames.nodeCount);
    slub.flushCpu(home);
    for (const nid of this.parts.nodes) {
      const node = memory.read(home + KmemCache.nodes + nid);
      for (const head of [node + nodeField.partial, node + nodeField.full])
        for (let link = memory.read(head); link !== head; link = memory.read(link))
          memory.write(link - PAGE_LINKS + slabField.cache, home);
    }
    return home;
  }
}
