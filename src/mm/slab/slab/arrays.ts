/**
 * The arrays of SLAB's caches: made, emptied and ended.
 *
 * Linux 6.7: mm/slab.c alloc_kmem_cache_cpus, alloc_arraycache, alloc_alien_cache, setup_kmem_cache_node, do_drain,
 * drain_alien_cache, drain_array_locked, free_alien_cache.
 */

import type { Memory } from "../../../memory/memory.ts";
import { wordsIn } from "../../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../../memory/units.ts";
import { LockClass } from "../../../sync/lock-class.ts";
import { Gfp } from "../../pages/gfp.ts";
import type { PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import type { CacheRef } from "../kmem-cache.ts";
import type { AllocatorParts } from "../slab-parts.ts";
import type { ArraySizes } from "./sizes.ts";
import type { SlabPaths } from "./slab-paths.ts";
import { AlienCache, ArrayCache, ENTRIES, SlabCache, SlabNode } from "./structures.ts";

const alienField = AlienCache;
const arrayField = ArrayCache;
const cacheField = SlabCache;
const nodeField = SlabNode;
/** Objects that wait for their way home, where arrays hold more than one at all. */
const ALIEN_LIMIT = 12;
/** The batch of arrays that move as a whole: never read. */
const WHOLE = 0;

export class Arrays {
  declare private readonly parts: AllocatorParts;
  declare private readonly memory: Memory;
  declare private readonly paths: SlabPaths;
  declare private readonly sizeCache: (bytes: number) => CacheRef;

  /** `sizeCache`: the cache of objects of at least so many bytes. */
  constructor(parts: AllocatorParts, paths: SlabPaths, sizeCache: (bytes: number) => CacheRef) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.paths = paths;
    this.sizeCache = sizeCache;
  }

  /** An array for each CPU; false when there is no per-CPU memory. */
  setUpCpus(cache: CacheRef, sizes: ArraySizes): boolean {
    const { memory, parts } = this;
    const { limit, batchCount, shared } = sizes;
    const arrays = parts.perCpu.alloc((ENTRIES + limit) * WORD_BYTES, 8);
    if (arrays === 0) return false;
    for (let cpu = 0; cpu < parts.possibleCpus; cpu++)
      this.format(parts.perCpu.of(arrays, cpu), limit, batchCount);
    memory.write(cache + cacheField.cpuSlab, arrays);
    memory.write(cache + cacheField.limit, limit);
    memory.write(cache + cacheField.batchCount, batchCount);
    memory.write(cache + cacheField.shared, shared);
    return true;
  }

  /** Linux: init_cache_node. */
  setLimit(cache: CacheRef, nid: number): void {
    const { memory, parts } = this;
    const node = this.paths.nodeSlabs.nodeOf(cache, nid);
    const batchCount = memory.read(cache + cacheField.batchCount);
    const cpus = parts.cpuNode.slice(0, parts.cpus).filter((at) => at === nid).length;
    const limit = (1 + cpus) * batchCount + memory.read(cache + cacheField.objects);
    memory.write(node + nodeField.freeLimit, limit);
  }

  /** The arrays that CPUs of a node share, as the cache's sizes say; false when there is no memory. */
  setUpNode(cache: CacheRef, nid: number): boolean {
    const { memory, parts } = this;
    const node = this.paths.nodeSlabs.nodeOf(cache, nid);
    const batchCount = memory.read(cache + cacheField.batchCount);
    if (parts.nodes.length > 1 && !this.setUpAliens(cache, node, nid)) return false;
    const shared = memory.read(cache + cacheField.shared);
    if (shared === 0) return true;
    const array = this.allocArray(shared * batchCount, 0, nid);
    if (array === 0) return false;
    this.format(array, shared * batchCount, WHOLE);
    memory.write(node + nodeField.shared, array);
    return true;
  }

  private setUpAliens(cache: CacheRef, node: Pointer, nid: number): boolean {
    const { memory, parts } = this;
    const table = this.allocSized(tableBytes(parts), nid);
    if (table === 0) return false;
    memory.fill(table, parts.pages.frames.nodeCount, 0);
    memory.write(node + nodeField.alien, table);
    const limit = memory.read(cache + cacheField.limit) > 1 ? ALIEN_LIMIT : 1;
    return parts.nodes.every((other) => {
      if (other === nid) return true;
      const alien = this.allocArray(limit, alienField.array, nid);
      if (alien === 0) return false;
      parts.locks.format(alien + alienField.lock, LockClass.SLAB_ALIEN);
      this.format(alien + alienField.array, limit, WHOLE);
      memory.write(table + other, alien);
      return true;
    });
  }

  /** Ends a node's arrays: they are empty. */
  release(node: Pointer): void {
    const { memory, parts } = this;
    const shared = memory.read(node + nodeField.shared);
    if (shared !== 0) this.freeSized(shared);
    const table = memory.read(node + nodeField.alien);
    if (table === 0) return;
    for (const other of parts.nodes) {
      const alien = memory.read(table + other);
      if (alien !== 0) this.freeSized(alien);
    }
    this.freeSized(table);
  }

  // ---- emptying ----

  /** This CPU's array.  @takes list_lock */
  drainHere(cache: CacheRef): void {
    const { memory, parts, paths } = this;
    const { nodeSlabs } = paths;
    const dying: PageRef[] = [];
    const node = nodeSlabs.nodeOf(cache, paths.memoryNode);
    const irqs = parts.locks.lockIrqSave(node + nodeField.listLock);
    const own = parts.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    nodeSlabs.drainArray(cache, node, own, true, dying);
    parts.locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    nodeSlabs.destroySlabs(cache, dying);
  }

  /** @takes list_lock */
  drainShared(cache: CacheRef, nid: number): void {
    const { memory, parts, paths } = this;
    const { nodeSlabs } = paths;
    const dying: PageRef[] = [];
    const node = nodeSlabs.nodeOf(cache, nid);
    const irqs = parts.locks.lockIrqSave(node + nodeField.listLock);
    const shared = memory.read(node + nodeField.shared);
    if (shared !== 0) nodeSlabs.drainArray(cache, node, shared, true, dying);
    parts.locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    nodeSlabs.destroySlabs(cache, dying);
  }

  /** A node's alien arrays, each to its node.  @takes alien_cache.lock */
  drainAliens(cache: CacheRef, nid: number): void {
    const { memory, parts, paths } = this;
    const table = memory.read(paths.nodeSlabs.nodeOf(cache, nid) + nodeField.alien);
    if (table === 0) return;
    for (const other of parts.nodes) {
      const alien = memory.read(table + other);
      if (alien === 0) continue;
      const dying: PageRef[] = [];
      const irqs = parts.locks.lockIrqSave(alien + alienField.lock);
      paths.nodeSlabs.sendHome(cache, alien + alienField.array, other, dying);
      parts.locks.unlockIrqRestore(alien + alienField.lock, irqs);
      paths.nodeSlabs.destroySlabs(cache, dying);
    }
  }

  // ---- memory by size ----

  /** Linux: kfree. */
  freeSized(object: Pointer): void {
    const slab = this.paths.nodeSlabs.backing.slabOf(object);
    this.paths.free(this.memory.read(slab + SlabPage.cache), object);
  }

  private allocSized(bytes: number, nid: number): Pointer {
    const cache = this.sizeCache(bytes);
    return cache === 0 ? 0 : this.paths.alloc(cache, Gfp.KERNEL, nid);
  }

  /** An array of `entries`, behind `headWords` of something else. */
  private allocArray(entries: number, headWords: number, nid: number): Pointer {
    return this.allocSized((headWords + ENTRIES + entries) * WORD_BYTES, nid);
  }

  private format(array: Pointer, limit: number, batchCount: number): void {
    const { memory } = this;
    memory.fill(array, wordsIn(ArrayCache), 0);
    memory.write(array + arrayField.limit, limit);
    memory.write(array + arrayField.batchCount, batchCount);
  }
}

const tableBytes = ({ pages }: AllocatorParts): number => pages.frames.nodeCount * WORD_BYTES;
