/**
 * Busy areas: taking one, finding one by address, and letting one go.
 *
 * Linux: mm/vmalloc.c alloc_vmap_area, node_alloc, find_vmap_area, find_unlink_vmap_area, free_vmap_area_noflush.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import { listAddTail, listDelInit, listInit, listIsEmpty } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pointer } from "../../memory/units.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { GfpFlag } from "../pages/gfp.ts";
import type { SlabCaches } from "../slab/slab-caches.ts";
import { type FreeAreas, NO_ADDRESS } from "./free-areas.ts";
import type { LazyPurge } from "./lazy-purge.ts";
import { formatAddress, VMALLOC_START } from "./vmalloc-space.ts";
import { type AreaRef, VmapArea } from "./vmap-area.ts";
import { VmapGlobals } from "./vmap-globals.ts";
import { AreaSet, VaPool, VmapNode } from "./vmap-node.ts";
import type { VmapSpace } from "./vmap-space.ts";

const area = VmapArea;
const pool = VaPool;
const BUSY_ROOT = VmapNode.busy + AreaSet.root;
const BUSY_HEAD = VmapNode.busy + AreaSet.head;
const BUSY_LOCK = VmapNode.busy + AreaSet.lock;
const LAZY_ROOT = VmapNode.lazy + AreaSet.root;
const LAZY_HEAD = VmapNode.lazy + AreaSet.head;
const LAZY_LOCK = VmapNode.lazy + AreaSet.lock;
const POOL_LOCK = VmapNode.poolLock;
const F = GfpFlag;
/** What a caller's flags say about how hard to try.  Linux: GFP_RECLAIM_MASK. */
export const GFP_RECLAIM_MASK =
  F.DIRECT_RECLAIM |
  F.KSWAPD_RECLAIM |
  F.HIGH |
  F.IO |
  F.FS |
  F.NOWARN |
  F.RETRY_MAYFAIL |
  F.NOFAIL |
  F.NORETRY |
  F.MEMALLOC |
  F.NOMEMALLOC;
const checks = shape.checks;
/** A lazy area is put into its tree without the tree's lock. */
const lazyUnlocked = mutant("vmap-lazy-unlocked");

export interface AreaParts {
  readonly cpu: Cpu;
  readonly space: VmapSpace;
  readonly locks: SpinLocks;
  readonly slabs: SlabCaches;
  readonly free: FreeAreas;
  readonly purge: LazyPurge;
  readonly report: (text: string) => void;
}

export class VmapAreas {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly space: VmapSpace;
  declare private readonly locks: SpinLocks;
  declare private readonly slabs: SlabCaches;
  declare private readonly free: FreeAreas;
  declare private readonly purge: LazyPurge;
  declare private readonly report: (text: string) => void;

  constructor(parts: AreaParts) {
    this.cpu = parts.cpu;
    this.space = parts.space;
    this.memory = parts.space.memory;
    this.locks = parts.locks;
    this.slabs = parts.slabs;
    this.free = parts.free;
    this.purge = parts.purge;
    this.report = parts.report;
  }

  startOf(at: AreaRef): number {
    return this.space.areas.startOf(at);
  }
  endOf(at: AreaRef): number {
    return this.space.areas.endOf(at);
  }

  /**
   * A busy area of `size` bytes at `align`, with `flags` and `vm`; 0 without memory or room.  When there is no room the
   * lazy areas are purged, once.  Linux: alloc_vmap_area.
   * @may-sleep
   */
  alloc(size: number, align: number, gfp: number, flags: number, vm: Pointer): AreaRef {
    const { cpu, memory, space, slabs } = this;
    cpu.mightSleep("alloc_vmap_area");
    const own = cpu.id % space.nodeCount;
    const pooled = space.nodeCount > 1;
    const reclaim = gfp & GFP_RECLAIM_MASK;
    let at = pooled ? this.fromPool(own, size, align) : 0;
    let start = at === 0 ? NO_ADDRESS : space.areas.startOf(at);
    if (at === 0) {
      at = slabs.alloc(space.areaCache, reclaim);
      if (at === 0) return 0;
      start = this.free.take(size, align, reclaim);
    }
    if (start === NO_ADDRESS) {
      this.purge.reclaim();
      start = this.free.take(size, align, reclaim);
    }
    if (start === NO_ADDRESS) {
      slabs.free(space.areaCache, at);
      if ((gfp & F.NOWARN) === 0) this.reportNoRoom(size);
      return 0;
    }
    if (checks && cpu.tlb.knowsIn(start, size))
      bug(
        `W1 cpu ${cpu.id} is given ${formatAddress(start)} and ${size} bytes, of which its TLB still knows some`,
      );
    memory.writeFloat64(at + area.start, start);
    memory.writeFloat64(at + area.end, start + size);
    memory.write(at + area.vm, vm);
    memory.write(at + area.flags, flags | (pooled ? space.encodeNode(own) : 0));
    listInit(memory, at + area.links);
    const node = space.nodeAt(space.nodeIdOf(start));
    this.locks.lock(node + BUSY_LOCK);
    space.areas.insert(node + BUSY_ROOT, node + BUSY_HEAD, at);
    this.locks.unlock(node + BUSY_LOCK);
    return at;
  }

  /** The busy area around `address`, or 0.  Linux: find_vmap_area. */
  find(address: number): AreaRef {
    return this.search(address, false);
  }

  /** The same, busy no more: the caller's alone.  Linux: find_unlink_vmap_area. */
  findUnlink(address: number): AreaRef {
    return this.search(address, true);
  }

  /** Makes a busy area the caller's alone. */
  unlink(at: AreaRef): void {
    const { locks, space } = this;
    const node = space.nodeAt(space.nodeIdOf(space.areas.startOf(at)));
    locks.lock(node + BUSY_LOCK);
    space.areas.remove(node + BUSY_ROOT, at);
    locks.unlock(node + BUSY_LOCK);
  }

  /**
   * An area whose pages are unmapped waits for the flush, and is no longer the caller's.  Who makes the lazy pages too
   * many purges.  Linux: free_vmap_area_noflush.
   * @takes lazy.lock   @may-sleep
   */
  freeNoFlush(at: AreaRef): void {
    const { memory, locks, space } = this;
    if (!listIsEmpty(memory, at + area.links)) bug(`vmap area at word ${at} is freed while it is on a list`);
    const pages = space.pagesOf(at);
    const id = space.decodeNode(space.flagsOf(at));
    const node = space.nodeAt(id >= 0 ? id : space.nodeIdOf(space.areas.startOf(at)));
    const lazy = memory.add(space.globals + VmapGlobals.lazyPages, pages) + pages;
    reached("vmap-lazy-unlocked");
    if (!lazyUnlocked) locks.lock(node + LAZY_LOCK);
    space.areas.insert(node + LAZY_ROOT, node + LAZY_HEAD, at);
    if (!lazyUnlocked) locks.unlock(node + LAZY_LOCK);
    if (lazy > space.lazyMaxPages()) this.purge.drain();
  }

  /** All busy areas, node by node; for reports.  @takes busy.lock */
  forEachBusy(visit: (at: AreaRef) => void): void {
    this.forEach(BUSY_HEAD, BUSY_LOCK, visit);
  }

  /** All lazy areas, node by node; for reports.  @takes lazy.lock */
  forEachLazy(visit: (at: AreaRef) => void): void {
    this.forEach(LAZY_HEAD, LAZY_LOCK, visit);
  }

  private forEach(head: number, lock: number, visit: (at: AreaRef) => void): void {
    const { memory, locks, space } = this;
    for (let id = 0; id < space.nodeCount; id++) {
      const node = space.nodeAt(id);
      locks.lock(node + lock);
      for (let link = memory.read(node + head); link !== node + head; link = memory.read(link))
        visit(link - area.links);
      locks.unlock(node + lock);
    }
  }

  /** An area of this size that this CPU's node has kept, or 0.  Linux: node_pool_del_va.  @takes pool_lock */
  private fromPool(id: number, size: number, align: number): AreaRef {
    const { memory, locks, space } = this;
    const node = space.nodeAt(id);
    const home = space.poolOf(node, size);
    const head = home + pool.head;
    if (home === 0 || memory.load(head) === head) return 0;
    let found = 0;
    locks.lock(node + POOL_LOCK);
    const link = memory.read(head);
    if (link !== head) {
      const at = link - area.links;
      // The first one only; one that is not aligned goes to the end.
      const fits = space.areas.startOf(at) % align === 0;
      listDelInit(memory, link);
      if (fits) {
        found = at;
        memory.write(home + pool.len, memory.read(home + pool.len) - 1);
      } else listAddTail(memory, link, head);
    }
    locks.unlock(node + POOL_LOCK);
    return found;
  }

  /** In the node of the address first: an area may begin in another node's addresses.  @takes busy.lock */
  private search(address: number, unlinks: boolean): AreaRef {
    const { locks, space } = this;
    if (!space.isReady || !space.contains(address)) return 0;
    const count = space.nodeCount;
    const first = space.nodeIdOf(address);
    for (let i = 0; i < count; i++) {
      const node = space.nodeAt((first + i) % count);
      locks.lock(node + BUSY_LOCK);
      const at = space.areas.find(node + BUSY_ROOT, address);
      if (at !== 0 && unlinks) space.areas.remove(node + BUSY_ROOT, at);
      locks.unlock(node + BUSY_LOCK);
      if (at !== 0) return at;
    }
    return 0;
  }

  private reportNoRoom(size: number): void {
    this.report(
      `vmalloc_node_range for size ${size} failed: Address range restricted to ` +
        `0x${formatAddress(VMALLOC_START)} - 0x${formatAddress(this.space.end)}`,
    );
  }
}
