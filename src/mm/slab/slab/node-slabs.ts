/**
 * A node's slabs of a cache in SLAB: three lists, by how many of a slab's objects are in use, and the arrays that the
 * node's CPUs share.
 *
 * Invariants, at rest (check-slab tests them)
 *   S1  each object is in one place: among its slab's free indexes, in one array, or given out
 *   S2  a slab's free indexes are valid and differ; the array of them is where the cache's placement says
 *   S3  a slab is on the list of its state, of its own node and no other
 *   S4  totalSlabs, freeSlabs and freeObjects are what the lists hold; objects in arrays count as not free
 *   S5  an array holds at most its limit: a CPU's and a shared one objects of their node, an alien one of its other node
 *
 * All of it belongs to list_lock, with interrupts off.  Pages are given back after the lock is let go: the slabs to give
 * back are collected in `dying` meanwhile.
 *
 * Lock order: alien_cache.lock, list_lock; never two of either.
 * Linux 6.7: mm/slab.c free_block, get_first_slab, fixup_slab_list, cache_grow_end, drain_freelist, transfer_objects,
 * drain_array_locked, slab_destroy.
 */

import { listAdd, listAddTail, listDel, listIsEmpty } from "../../../memory/list.ts";
import type { Memory } from "../../../memory/memory.ts";
import type { Pointer } from "../../../memory/units.ts";
import type { SpinLocks } from "../../../sync/spinlock.ts";
import { PAGE_LINKS, type PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import type { CacheRef } from "../kmem-cache.ts";
import type { SlabBacking } from "../slab-backing.ts";
import type { SlabObjects } from "./slab-objects.ts";
import { ArrayCache, ENTRIES, Placement, SlabCache, SlabNode } from "./structures.ts";

const arrayField = ArrayCache;
const cacheField = SlabCache;
const nodeField = SlabNode;
const slabField = SlabPage;

export class NodeSlabs {
  declare readonly memory: Memory;
  declare readonly backing: SlabBacking;
  declare readonly slabs: SlabObjects;
  declare private readonly locks: SpinLocks;
  declare private readonly freeObject: (cache: CacheRef, object: Pointer) => void;

  /** `freeObject`: the indexes of an off-slab slab are an object. */
  constructor(
    backing: SlabBacking,
    slabs: SlabObjects,
    locks: SpinLocks,
    freeObject: (cache: CacheRef, object: Pointer) => void,
  ) {
    this.memory = backing.memory;
    this.backing = backing;
    this.slabs = slabs;
    this.locks = locks;
    this.freeObject = freeObject;
  }

  nodeOf(cache: CacheRef, nid: number): Pointer {
    return this.memory.read(cache + cacheField.nodes + nid);
  }

  /** The slab to take from: the first partial one, else a free one; 0 none.  `placeAgain` must follow.  @holds list_lock */
  first(node: Pointer): PageRef {
    const { memory } = this;
    const partial = memory.read(node + nodeField.partial);
    if (partial !== node + nodeField.partial) return partial - PAGE_LINKS;
    memory.write(node + nodeField.freeTouched, 1);
    const free = memory.read(node + nodeField.free);
    if (free === node + nodeField.free) return 0;
    this.add(node + nodeField.freeSlabs, -1);
    return free - PAGE_LINKS;
  }

  /** Moves a slab of which objects were taken to the list of its state.  @holds list_lock */
  placeAgain(cache: CacheRef, node: Pointer, slab: PageRef): void {
    listDel(this.memory, slab + PAGE_LINKS);
    this.placeUsed(cache, node, slab);
  }

  /** Puts a new slab, of which objects may have been taken, on its node's list.  @takes list_lock   @irqs off */
  addNew(cache: CacheRef, slab: PageRef): void {
    const { memory, locks } = this;
    const node = this.nodeOf(cache, this.backing.frames.nodeOf(slab));
    locks.lock(node + nodeField.listLock);
    this.add(node + nodeField.totalSlabs, 1);
    const active = memory.read(slab + slabField.active);
    if (active === 0) {
      listAddTail(memory, slab + PAGE_LINKS, node + nodeField.free);
      this.add(node + nodeField.freeSlabs, 1);
    } else this.placeUsed(cache, node, slab);
    this.add(node + nodeField.freeObjects, memory.read(cache + cacheField.objects) - active);
    locks.unlock(node + nodeField.listLock);
  }

  /**
   * Frees the `count` objects from `entry` on, all of `node`; slabs that become spare are added to `dying`.
   * @holds list_lock
   */
  freeBlock(cache: CacheRef, node: Pointer, entry: Pointer, count: number, dying: PageRef[]): void {
    const { memory } = this;
    this.add(node + nodeField.freeObjects, count);
    for (let i = 0; i < count; i++) this.putBack(cache, node, memory.read(entry + i));
    this.dropSpare(cache, node, dying);
  }

  private putBack(cache: CacheRef, node: Pointer, object: Pointer): void {
    const { memory, backing, slabs } = this;
    const slab = backing.slabOf(object);
    listDel(memory, slab + PAGE_LINKS);
    slabs.put(cache, slab, object);
    if (memory.read(slab + slabField.active) === 0) {
      listAdd(memory, slab + PAGE_LINKS, node + nodeField.free);
      this.add(node + nodeField.freeSlabs, 1);
    } else {
      // To the end: its other objects have the longest time to be freed too.
      listAddTail(memory, slab + PAGE_LINKS, node + nodeField.partial);
    }
  }

  private dropSpare(cache: CacheRef, node: Pointer, dying: PageRef[]): void {
    const { memory } = this;
    const objects = memory.read(cache + cacheField.objects);
    const limit = memory.read(node + nodeField.freeLimit);
    while (memory.read(node + nodeField.freeObjects) > limit && !listIsEmpty(memory, node + nodeField.free)) {
      dying.push(this.removeFree(node, objects));
    }
  }

  /** Frees one object of another node when there is no array for it.  @takes list_lock   @irqs off */
  freeStraight(cache: CacheRef, home: number, object: Pointer, dying: PageRef[]): void {
    const node = this.nodeOf(cache, home);
    this.locks.lock(node + nodeField.listLock);
    this.add(node + nodeField.freeObjects, 1);
    this.putBack(cache, node, object);
    this.dropSpare(cache, node, dying);
    this.locks.unlock(node + nodeField.listLock);
  }

  /**
   * What an alien array holds goes to its node: into the shared array, the rest to the slabs.
   * Linux: __drain_alien_cache.  @holds alien_cache.lock   @takes list_lock   @irqs off
   */
  sendHome(cache: CacheRef, array: Pointer, home: number, dying: PageRef[]): void {
    const { memory, locks } = this;
    if (memory.read(array + arrayField.avail) === 0) return;
    const node = this.nodeOf(cache, home);
    locks.lock(node + nodeField.listLock);
    const shared = memory.read(node + nodeField.shared);
    if (shared !== 0) this.transfer(shared, array, memory.read(array + arrayField.limit));
    this.freeBlock(cache, node, array + ENTRIES, memory.read(array + arrayField.avail), dying);
    memory.write(array + arrayField.avail, 0);
    locks.unlock(node + nodeField.listLock);
  }

  /** Gives back up to `count` free slabs of a node, the longest free first; how many there were.  @takes list_lock */
  drainFree(cache: CacheRef, node: Pointer, count: number): number {
    const { memory, locks } = this;
    const objects = memory.read(cache + cacheField.objects);
    let done = 0;
    while (done < count) {
      const irqs = locks.lockIrqSave(node + nodeField.listLock);
      const slab = listIsEmpty(memory, node + nodeField.free) ? 0 : this.removeFree(node, objects);
      locks.unlockIrqRestore(node + nodeField.listLock, irqs);
      if (slab === 0) break;
      this.destroySlab(cache, slab);
      done++;
    }
    return done;
  }

  /** Frees what an array holds, all or a fifth of its limit, the oldest first.  @holds list_lock */
  drainArray(cache: CacheRef, node: Pointer, array: Pointer, all: boolean, dying: PageRef[]): void {
    const { memory } = this;
    const avail = memory.read(array + arrayField.avail);
    const fifth = Math.floor((memory.read(array + arrayField.limit) + 4) / 5);
    const wanted = all ? avail : fifth;
    const count = wanted > avail ? (avail + 1) >> 1 : wanted;
    if (count === 0) return;
    this.freeBlock(cache, node, array + ENTRIES, count, dying);
    this.dropOldest(array, count);
  }

  /** Takes the first `count` entries out of an array.  @holds what guards it */
  dropOldest(array: Pointer, count: number): void {
    const { memory } = this;
    const left = memory.read(array + arrayField.avail) - count;
    memory.write(array + arrayField.avail, left);
    const to = array + ENTRIES;
    for (let i = 0; i < left; i++) memory.write(to + i, memory.read(to + count + i));
  }

  /** Moves the newest entries, `most` at most, and no more than fit; how many.  @holds what guards both */
  transfer(to: Pointer, from: Pointer, most: number): number {
    const { memory } = this;
    const have = memory.read(from + arrayField.avail);
    const at = memory.read(to + arrayField.avail);
    const count = Math.min(have, most, memory.read(to + arrayField.limit) - at);
    if (count <= 0) return 0;
    memory.copy(to + ENTRIES + at, from + ENTRIES + have - count, count);
    memory.write(from + arrayField.avail, have - count);
    memory.write(to + arrayField.avail, at + count);
    return count;
  }

  /** Gives the pages of slabs back, and the objects that their indexes lay in; no lock is held. */
  destroySlabs(cache: CacheRef, dying: readonly PageRef[]): void {
    for (const slab of dying) this.destroySlab(cache, slab);
  }

  private destroySlab(cache: CacheRef, slab: PageRef): void {
    const { memory } = this;
    const flags = memory.read(cache + cacheField.flags);
    const freelist = memory.read(slab + slabField.freelist);
    this.backing.give(slab);
    if ((flags & Placement.OFF_SLAB) !== 0)
      this.freeObject(memory.read(cache + cacheField.freelistCache), freelist);
  }

  private placeUsed(cache: CacheRef, node: Pointer, slab: PageRef): void {
    const { memory } = this;
    if (memory.read(slab + slabField.active) < memory.read(cache + cacheField.objects)) {
      listAdd(memory, slab + PAGE_LINKS, node + nodeField.partial);
      return;
    }
    listAdd(memory, slab + PAGE_LINKS, node + nodeField.full);
    // The object that held the indexes is given out, too.
    if ((memory.read(cache + cacheField.flags) & Placement.IN_OBJECT) !== 0)
      memory.write(slab + slabField.freelist, 0);
  }

  /** @holds list_lock */
  private removeFree(node: Pointer, objects: number): PageRef {
    const { memory } = this;
    const link = memory.read(node + nodeField.free + 1);
    listDel(memory, link);
    this.add(node + nodeField.freeSlabs, -1);
    this.add(node + nodeField.totalSlabs, -1);
    this.add(node + nodeField.freeObjects, -objects);
    return link - PAGE_LINKS;
  }

  private add(at: Pointer, value: number): void {
    this.memory.write(at, this.memory.read(at) + value);
  }
}
