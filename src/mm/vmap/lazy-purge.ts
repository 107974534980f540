/**
 * From freed to free: lazy areas become free after one flush for all of them.
 *
 * A flush of every CPU's TLB for each vfree would cost more than all else, so freed areas wait in the lazy trees of their
 * nodes until there are many.  One purge takes them all, flushes the range from the lowest to the highest on all CPUs, and
 * only then gives the areas out: to the pool of the node that had asked for them, or to the free tree.
 *
 *   busy --unmapped--> lazy --one flush--> pool of a node --> busy
 *                                     \--> free tree      --> busy
 *
 * Invariant (check-vmap)
 *   W1  no TLB has an entry for a page of a free area or of one in a pool
 *
 * Purges come one at a time, under vmap_purge_lock.  Linux: mm/vmalloc.c __purge_vmap_area_lazy, purge_vmap_node,
 * decay_va_pool_node, reclaim_and_purge_vmap_areas, drain_vmap_area_work.  Differs: who crosses the limit purges, where
 * Linux queues work, and no other CPU helps; what a pool gives up is joined in the free tree, not before.
 */

import { listAdd, listAddTail, listDelInit, listInit, listIsEmpty } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pointer } from "../../memory/units.ts";
import type { Mutexes } from "../../sync/mutex.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import type { FreeAreas } from "./free-areas.ts";
import type { KernelFlush } from "./kernel-flush.ts";
import { type AreaRef, VmapArea } from "./vmap-area.ts";
import { VmapGlobals } from "./vmap-globals.ts";
import { AreaSet, POOL_SIZES, VaPool, VmapNode } from "./vmap-node.ts";
import type { VmapSpace } from "./vmap-space.ts";

const area = VmapArea;
const nodeField = VmapNode;
const globalField = VmapGlobals;
const pool = VaPool;
const LAZY_ROOT = VmapNode.lazy + AreaSet.root;
const LAZY_HEAD = VmapNode.lazy + AreaSet.head;
const LAZY_LOCK = VmapNode.lazy + AreaSet.lock;
/** Areas go back before the flush. */
const reusesEarly = mutant("vmap-reuse-before-flush");

export interface PurgeParts {
  readonly space: VmapSpace;
  readonly locks: SpinLocks;
  readonly mutexes: Mutexes;
  readonly free: FreeAreas;
  readonly flush: KernelFlush;
}

export class LazyPurge {
  declare private readonly memory: Memory;
  declare private readonly space: VmapSpace;
  declare private readonly locks: SpinLocks;
  declare private readonly mutexes: Mutexes;
  declare private readonly free: FreeAreas;
  declare private readonly flush: KernelFlush;
  declare private readonly lock: Pointer;
  /** Gives up blocks that are partly dirty.  Installed by vmap-blocks. */
  private purgeBlocks: () => void = () => {};

  constructor(parts: PurgeParts) {
    this.space = parts.space;
    this.memory = parts.space.memory;
    this.locks = parts.locks;
    this.mutexes = parts.mutexes;
    this.free = parts.free;
    this.flush = parts.flush;
    this.lock = parts.space.globals + globalField.purgeLock;
  }

  installBlocks(purgeBlocks: () => void): void {
    this.purgeBlocks = purgeBlocks;
  }

  /** Purges from so many lazy pages on; 0: by Linux's formula.  At rest. */
  setLimit(pages: number): void {
    this.memory.write(this.space.globals + globalField.lazyLimit, pages);
  }

  /** There are too many lazy pages.  Linux: drain_vmap_area_work.  @may-sleep */
  drain(): void {
    const { memory, space } = this;
    // Who purges, and on the way makes blocks lazy, purges those, too.
    if (this.mutexes.isHeldHere(this.lock)) return;
    // As work that is queued already: somebody will come to it.
    if (memory.exchange(space.globals + globalField.drainAsked, 1) !== 0) return;
    this.locked(() => {
      memory.store(space.globals + globalField.drainAsked, 0);
      this.purge(Infinity, -Infinity, false);
    });
  }

  /** Everything that can be free becomes free.  Linux: reclaim_and_purge_vmap_areas.  @may-sleep */
  reclaim(): void {
    this.locked(() => {
      this.purgeBlocks();
      this.purge(Infinity, -Infinity, true);
    });
  }

  /** @takes vmap_purge_lock */
  locked(body: () => void): void {
    this.mutexes.lock(this.lock);
    body();
    this.mutexes.unlock(this.lock);
  }

  /**
   * Frees all lazy areas; with `full` the pools are emptied, too.  The flush covers `from` to `to` as well.  False when
   * there was nothing, and no flush.  Linux: __purge_vmap_area_lazy.
   * @holds vmap_purge_lock
   */
  purge(from: number, to: number, full: boolean): boolean {
    const { memory, space } = this;
    let start = from;
    let end = to;
    const nodes: Pointer[] = [];
    for (let id = 0; id < space.nodeCount; id++) {
      const node = space.nodeAt(id);
      memory.write(node + nodeField.skipPopulate, full ? 1 : 0);
      this.decayPools(node, full);
      if (memory.load(node + LAZY_ROOT) === 0) continue;
      this.takeLazy(node);
      const list = node + nodeField.purgeList;
      start = Math.min(start, space.areas.startOf(memory.read(list) - area.links));
      end = Math.max(end, space.areas.endOf(memory.read(list + 1) - area.links));
      nodes.push(node);
    }
    if (nodes.length === 0) return false;
    reached("vmap-reuse-before-flush");
    if (reusesEarly) for (const node of nodes) this.purgeNode(node);
    this.flush.range(start, end);
    if (!reusesEarly) for (const node of nodes) this.purgeNode(node);
    const purges = space.globals + globalField.purges;
    memory.write(purges, memory.read(purges) + 1);
    return true;
  }

  /** Moves a node's lazy areas to its purge list.  @takes lazy.lock */
  private takeLazy(node: Pointer): void {
    const { memory, locks } = this;
    const to = node + nodeField.purgeList;
    locks.lock(node + LAZY_LOCK);
    memory.store(node + LAZY_ROOT, 0);
    const first = memory.read(node + LAZY_HEAD);
    const last = memory.read(node + LAZY_HEAD + 1);
    memory.write(to, first);
    memory.write(to + 1, last);
    memory.write(first + 1, to);
    memory.write(last, to);
    listInit(memory, node + LAZY_HEAD);
    locks.unlock(node + LAZY_LOCK);
  }

  /** The areas of a purge list, whose addresses no TLB knows any more.  Linux: purge_vmap_node. */
  private purgeNode(node: Pointer): void {
    const { memory, space } = this;
    const list = node + nodeField.purgeList;
    const keeps = memory.read(node + nodeField.skipPopulate) === 0;
    const rest: AreaRef[] = [];
    let pages = 0;
    while (!listIsEmpty(memory, list)) {
      const at = memory.read(list) - area.links;
      listDelInit(memory, at + area.links);
      pages += space.pagesOf(at);
      const id = space.decodeNode(space.flagsOf(at));
      if (id >= 0 && keeps && this.keep(node, at)) continue;
      rest.push(at);
    }
    memory.add(space.globals + globalField.lazyPages, -pages);
    this.free.giveBack(rest);
  }

  /** Into the pool for its size; false when it is too large.  Linux: node_pool_add_va.  @takes pool_lock */
  private keep(node: Pointer, at: AreaRef): boolean {
    const { memory, locks, space } = this;
    const home = space.poolOf(node, space.areas.sizeOf(at));
    if (home === 0) return false;
    locks.lock(node + nodeField.poolLock);
    listAdd(memory, at + area.links, home + pool.head);
    memory.write(home + pool.len, memory.read(home + pool.len) + 1);
    locks.unlock(node + nodeField.poolLock);
    return true;
  }

  /** A quarter of each pool becomes free, or with `full` all.  Linux: decay_va_pool_node. */
  private decayPools(node: Pointer, full: boolean): void {
    const { memory, locks, space } = this;
    const freed: AreaRef[] = [];
    for (let index = 0; index < POOL_SIZES; index++) {
      const home = space.poolAt(node, index);
      const head = home + pool.head;
      if (memory.load(head) === head) continue;
      locks.lock(node + nodeField.poolLock);
      const kept: Pointer[] = [];
      for (let link = memory.read(head); link !== head; link = memory.read(link)) kept.push(link);
      listInit(memory, head);
      const leaving = full ? kept.length : kept.length >> 2;
      for (const link of kept.splice(0, leaving)) freed.push(link - area.links);
      for (const link of kept) listAddTail(memory, link, head);
      memory.write(home + pool.len, kept.length);
      locks.unlock(node + nodeField.poolLock);
    }
    for (const at of freed) listInit(memory, at + area.links);
    this.free.giveBack(freed);
  }
}
