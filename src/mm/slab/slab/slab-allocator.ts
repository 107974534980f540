/**
 * SLAB behind the door: making and ending its caches, their arrays, and the first caches.
 *
 * The structures of caches are objects of `kmem_cache`, which lies in the kernel image for ever.  Arrays, nodes' parts and
 * the indexes of off-slab slabs come from caches by size, `size-32` to `size-2048`, as in old kernels; the nodes' parts of
 * the first two caches begin in the kernel image, and the first caches begin with arrays of one object.
 *
 * Linux 6.7: mm/slab.c kmem_cache_init, kmem_cache_init_late, __kmem_cache_create, setup_cpu_cache, do_tune_cpucache,
 * setup_kmem_cache_node, drain_cpu_caches, __kmem_cache_shrink, __kmem_cache_release, cpuup_canceled, get_slabinfo.
 * Differs: the caches by size are SLAB's own, where Linux takes kmalloc's; a CPU that leaves empties all nodes' arrays, where
 * Linux ends those of its own node if it was the last there; a node's limit of free objects counts all CPUs that run programs.
 */

import { bug } from "../../../memory/bug.ts";
import { listInit } from "../../../memory/list.ts";
import type { Memory } from "../../../memory/memory.ts";
import { wordsIn } from "../../../memory/struct.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../../memory/units.ts";
import { LockClass } from "../../../sync/lock-class.ts";
import { Gfp, GfpFlag } from "../../pages/gfp.ts";
import { Zone } from "../../pages/zone.ts";
import { type CacheOptions, writeIdentity } from "../cache-record.ts";
import { type CacheRef, SlabGlobals, SlabState } from "../kmem-cache.ts";
import type { CacheCount, ObjectAllocator, SlabInfo } from "../object-allocator.ts";
import { NO_NODE } from "../slab-backing.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "../slab-flags.ts";
import type { AllocatorParts } from "../slab-parts.ts";
import { Arrays } from "./arrays.ts";
import { checkSlab } from "./check-slab.ts";
import { NODE_REAP_NS, Reaper } from "./reaper.ts";
import { arraySizes, maxOrderOf, SIZE_CLASSES, sizeClassOf, slabSizes } from "./sizes.ts";
import { SlabPaths } from "./slab-paths.ts";
import { ArrayCache, SlabCache, SlabNode } from "./structures.ts";

const cacheField = SlabCache;
const globalField = SlabGlobals;
const nodeField = SlabNode;
const NODE_BYTES = wordsIn(SlabNode) * WORD_BYTES;

export class SlabAllocator implements ObjectAllocator {
  readonly sized = null;
  declare readonly objects: SlabPaths;
  declare readonly arrays: Arrays;
  declare readonly reaper: Reaper;
  declare private readonly parts: AllocatorParts;
  declare private readonly memory: Memory;
  declare private readonly globals: Pointer;
  /** Nodes' parts of the first two caches, by cache and node. */
  declare private readonly bootNodes: Pointer;
  /** The caches by size, of SIZE_CLASSES. */
  declare private readonly sizeCaches: Pointer;
  declare private readonly maxOrder: number;

  constructor(parts: AllocatorParts) {
    const { slots, pages } = parts;
    if (slots.slab === null) bug("the kernel image has no room for SLAB's first caches");
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.globals = parts.globals;
    this.bootNodes = slots.slab.nodes.address;
    this.sizeCaches = slots.slab.sizeCaches.address;
    const { memory } = this;
    const managed = pages.frames
      .populatedZones()
      .reduce((sum, zone) => sum + memory.read(zone + Zone.managedPages), 0);
    this.maxOrder = maxOrderOf(managed * PAGE_BYTES);
    this.objects = new SlabPaths(parts, () => this.reaper.runIfDue());
    this.arrays = new Arrays(parts, this.objects, (bytes) => this.sizeCache(bytes));
    this.reaper = new Reaper(parts, this.objects, slots.slab.reap);
  }

  format(): void {
    const { memory, parts } = this;
    for (let i = 0; i < 2 * parts.pages.frames.nodeCount; i++) this.formatNode(this.bootNodeAt(i));
    for (let i = 0; i < SIZE_CLASSES.length; i++) memory.write(this.sizeCaches + i, 0);
  }

  // ---- a cache ----

  setUp(cache: CacheRef, options: CacheOptions): boolean {
    const { memory, parts, globals } = this;
    if (!this.writeSizes(cache, options)) return false;
    const isUp = memory.read(globals + globalField.state) === SlabState.UP;
    const limits = isUp
      ? arraySizes(memory.read(cache + cacheField.size), parts.possibleCpus)
      : { limit: 1, batchCount: 1, shared: 0 };
    if (this.arrays.setUpCpus(cache, limits) && this.setUpNodes(cache)) return true;
    this.release(cache);
    return false;
  }

  shutDown(cache: CacheRef): boolean {
    return this.shrink(cache);
  }

  /** All CPUs have emptied their arrays: the others follow, and then free slabs go. */
  shrink(cache: CacheRef): boolean {
    const { memory, parts, objects } = this;
    let left = 0;
    for (const nid of parts.nodes) this.arrays.drainAliens(cache, nid);
    for (const nid of parts.nodes) this.arrays.drainShared(cache, nid);
    for (const nid of parts.nodes) {
      const node = objects.nodeSlabs.nodeOf(cache, nid);
      objects.nodeSlabs.drainFree(cache, node, Number.POSITIVE_INFINITY);
      left += memory.read(node + nodeField.totalSlabs);
    }
    return left === 0;
  }

  release(cache: CacheRef): void {
    const { memory, parts, objects } = this;
    parts.perCpu.free(memory.read(cache + cacheField.cpuSlab));
    for (const nid of parts.nodes) {
      const node = objects.nodeSlabs.nodeOf(cache, nid);
      if (node === 0) continue;
      this.arrays.release(node);
      this.arrays.freeSized(node);
      memory.write(cache + cacheField.nodes + nid, 0);
    }
  }

  hasCpuPart(cache: CacheRef, cpu: number): boolean {
    const { memory, parts } = this;
    const array = parts.perCpu.of(memory.read(cache + cacheField.cpuSlab), cpu);
    return memory.read(array + ArrayCache.avail) > 0;
  }

  /** Linux: do_drain. */
  flushHere(cache: CacheRef): void {
    this.arrays.drainHere(cache);
  }

  /** All nodes' arrays go too: what the last CPU of a node sends home to another must not wait there for nobody. */
  leave(cache: CacheRef): void {
    this.arrays.drainHere(cache);
    this.shrink(cache);
  }

  usableBytes(cache: CacheRef): number {
    return this.memory.read(cache + cacheField.objectSize);
  }

  /** Objects in arrays count as used.  @takes list_lock */
  slabInfo(cache: CacheRef): SlabInfo {
    const { memory, parts, objects } = this;
    let [slabs, free, freeSlabs, sharedAvailable] = [0, 0, 0, 0];
    for (const nid of parts.nodes) {
      const node = objects.nodeSlabs.nodeOf(cache, nid);
      const irqs = parts.locks.lockIrqSave(node + nodeField.listLock);
      const shared = memory.read(node + nodeField.shared);
      slabs += memory.read(node + nodeField.totalSlabs);
      freeSlabs += memory.read(node + nodeField.freeSlabs);
      free += memory.read(node + nodeField.freeObjects);
      sharedAvailable += shared === 0 ? 0 : memory.read(shared + ArrayCache.avail);
      parts.locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    }
    const objectsPerSlab = memory.read(cache + cacheField.objects);
    return {
      activeObjects: slabs * objectsPerSlab - free,
      objects: slabs * objectsPerSlab,
      activeSlabs: slabs - freeSlabs,
      slabs,
      sharedAvailable,
      limit: memory.read(cache + cacheField.limit),
      batchCount: memory.read(cache + cacheField.batchCount),
      shared: memory.read(cache + cacheField.shared),
      objectsPerSlab,
      order: memory.read(cache + cacheField.order),
    };
  }

  check(caches: readonly CacheRef[]): CacheCount[] {
    const { memory, parts, objects } = this;
    const sizeCaches = SIZE_CLASSES.map((_, index) => memory.read(this.sizeCaches + index));
    return checkSlab({ ...parts, nodeSlabs: objects.nodeSlabs, sizeCaches }, caches);
  }

  // ---- making one ----

  private writeSizes(cache: CacheRef, options: CacheOptions): boolean {
    const { memory, sizeCaches } = this;
    writeIdentity(memory, cache, options);
    const sizes = slabSizes(
      { ...options, hasConstructor: (options.construct ?? 0) !== 0 },
      { maxOrder: this.maxOrder, hasClass: (index) => memory.read(sizeCaches + index) !== 0 },
    );
    if (sizes === null) return false;
    const write = (field: number, value: number): void => memory.write(cache + field, value);
    write(cacheField.size, sizes.sizeBytes);
    write(cacheField.flags, ((options.flags ?? 0) & ~SLAB_DEBUG_FLAGS) | sizes.placement);
    write(cacheField.order, sizes.order);
    write(cacheField.objects, sizes.objects);
    write(cacheField.align, sizes.alignBytes);
    write(cacheField.colour, sizes.colour);
    write(cacheField.colourOff, sizes.colourOffBytes);
    write(cacheField.freelistBytes, sizes.objects);
    write(cacheField.freelistCache, this.sizeCache(sizes.objects));
    return true;
  }

  /** Linux: setup_kmem_cache_nodes. */
  private setUpNodes(cache: CacheRef): boolean {
    const { memory, arrays, globals } = this;
    const from = memory.read(globals + globalField.kmemCacheNode);
    return this.parts.nodes.every((nid) => {
      if (memory.read(cache + cacheField.nodes + nid) === 0) {
        const node = this.objects.alloc(from, Gfp.KERNEL, nid);
        if (node === 0) return false;
        this.formatNode(node);
        memory.write(cache + cacheField.nodes + nid, node);
      }
      arrays.setLimit(cache, nid);
      return memory.read(globals + globalField.state) !== SlabState.UP || arrays.setUpNode(cache, nid);
    });
  }

  private formatNode(node: Pointer): void {
    const { memory, parts } = this;
    memory.fill(node, wordsIn(SlabNode), 0);
    parts.locks.format(node + nodeField.listLock, LockClass.SLAB_NODE);
    for (const list of [nodeField.partial, nodeField.full, nodeField.free]) listInit(memory, node + list);
    memory.writeFloat64(node + nodeField.nextReapNs, parts.cpu.nowNs() + NODE_REAP_NS);
  }

  /** The cache by size for so many bytes; 0 while there is none.  Linux: kmalloc_slab. */
  private sizeCache(bytes: number): CacheRef {
    const index = sizeClassOf(bytes);
    return index < 0 ? 0 : this.memory.read(this.sizeCaches + index);
  }

  private bootNodeAt(index: number): Pointer {
    return this.bootNodes + index * wordsIn(SlabNode);
  }

  // ---- the first caches ----

  bootstrap(link: (cache: CacheRef) => void): void {
    const { memory, globals, parts } = this;
    const nodeCount = parts.pages.frames.nodeCount;
    const kmemCache = globals + globalField.bootCaches;
    const nodeClass = sizeClassOf(NODE_BYTES);
    this.useBootNodes(kmemCache, 0);
    const objectBytes = (SlabCache.nodes + nodeCount) * WORD_BYTES;
    this.setUpOrPanic(kmemCache, { name: "kmem_cache", objectBytes, flags: SlabFlag.HWCACHE_ALIGN });
    link(kmemCache);
    memory.write(globals + globalField.kmemCache, kmemCache);
    memory.write(globals + globalField.state, SlabState.PARTIAL);
    const nodes = this.makeSizeCache(nodeClass, link, nodeCount);
    memory.write(globals + globalField.kmemCacheNode, nodes);
    this.moveNodesHome(kmemCache);
    this.moveNodesHome(nodes);
    for (let index = 0; index < SIZE_CLASSES.length; index++)
      if (index !== nodeClass) this.makeSizeCache(index, link, 0);
    for (const index of SIZE_CLASSES.keys()) this.enableArrays(memory.read(this.sizeCaches + index));
    this.enableArrays(kmemCache);
  }

  /** `bootNodesFrom`: where in the kernel image its nodes' parts are; 0: they are objects. */
  private makeSizeCache(index: number, link: (cache: CacheRef) => void, bootNodesFrom: number): CacheRef {
    const { memory, globals } = this;
    const from = memory.read(globals + globalField.kmemCache);
    const cache = this.objects.alloc(from, Gfp.NOWAIT | GfpFlag.ZERO, NO_NODE);
    if (cache === 0) bug("no memory for the first object caches");
    if (bootNodesFrom > 0) this.useBootNodes(cache, bootNodesFrom);
    const size = SIZE_CLASSES[index];
    const alignBytes = size & (size - 1) ? 0 : size;
    const flags = SlabFlag.HWCACHE_ALIGN;
    this.setUpOrPanic(cache, { name: `size-${size}`, objectBytes: size, alignBytes, flags });
    link(cache);
    memory.write(this.sizeCaches + index, cache);
    return cache;
  }

  private setUpOrPanic(cache: CacheRef, options: CacheOptions): void {
    if (!this.setUp(cache, options)) bug(`no memory for the first object caches (${options.name})`);
  }

  /** Linux: set_up_node. */
  private useBootNodes(cache: CacheRef, from: number): void {
    for (const nid of this.parts.nodes)
      this.memory.write(cache + cacheField.nodes + nid, this.bootNodeAt(from + nid));
  }

  /** The nodes' parts of a first cache become objects.  Linux: init_list. */
  private moveNodesHome(cache: CacheRef): void {
    const { memory, parts, globals } = this;
    const from = memory.read(globals + globalField.kmemCacheNode);
    for (const nid of parts.nodes) {
      const home = this.objects.alloc(from, Gfp.NOWAIT, nid);
      if (home === 0) bug("no memory for the first object caches");
      const old = memory.read(cache + cacheField.nodes + nid);
      memory.copy(home, old, wordsIn(SlabNode));
      parts.locks.format(home + nodeField.listLock, LockClass.SLAB_NODE);
      for (const list of [nodeField.partial, nodeField.full, nodeField.free]) {
        listInit(memory, home + list);
        const first = memory.read(old + list);
        if (first === old + list) continue;
        const last = memory.read(old + list + 1);
        memory.write(home + list, first);
        memory.write(home + list + 1, last);
        memory.write(first + 1, home + list);
        memory.write(last, home + list);
      }
      memory.write(cache + cacheField.nodes + nid, home);
    }
  }

  /** Gives a first cache arrays of full size.  Linux: do_tune_cpucache. */
  private enableArrays(cache: CacheRef): void {
    const { memory, parts, arrays } = this;
    const old = memory.read(cache + cacheField.cpuSlab);
    arrays.drainHere(cache);
    const limits = arraySizes(memory.read(cache + cacheField.size), parts.possibleCpus);
    const isDone = arrays.setUpCpus(cache, limits);
    for (const nid of parts.nodes) arrays.setLimit(cache, nid);
    if (!isDone || !parts.nodes.every((nid) => arrays.setUpNode(cache, nid)))
      bug("no memory for the arrays of the first object caches");
    parts.perCpu.free(old);
  }
}
