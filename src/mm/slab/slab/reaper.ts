/**
 * SLAB's reaper: every two seconds each CPU gives back a part of what it has not used since.
 *
 *   alien arrays   those for one other node, which changes from time to time
 *   its own array  a fifth, unless it was used
 *   the node's     every four seconds: a fifth of the shared array, unless used; then free slabs, unless one was used
 *
 * Linux 6.7: mm/slab.c cache_reap, reap_alien, drain_array, next_reap_node.  Differs: a worker thread runs it there.  Here
 * the timer tick notes that it is time, and the CPU does it after its next allocation that may sleep and misses its array;
 * a program may also call `SlabCaches.reap`.
 */

import type { PerCpuSlot } from "../../../memory/image.ts";
import type { Memory } from "../../../memory/memory.ts";
import type { Pointer } from "../../../memory/units.ts";
import { REFUSED } from "../../../sync/spinlock.ts";
import type { PageRef } from "../../pages/page.ts";
import type { CacheRef } from "../kmem-cache.ts";
import type { SlabReaper } from "../object-allocator.ts";
import type { AllocatorParts } from "../slab-parts.ts";
import type { SlabPaths } from "./slab-paths.ts";
import { AlienCache, ArrayCache, ReapWork, SlabCache, SlabNode } from "./structures.ts";

const arrayField = ArrayCache;
const cacheField = SlabCache;
const nodeField = SlabNode;
const work = ReapWork;
/** Linux: REAPTIMEOUT_AC, REAPTIMEOUT_NODE. */
const CPU_REAP_NS = 2e9;
export const NODE_REAP_NS = 4e9;

export class Reaper implements SlabReaper {
  declare private readonly parts: AllocatorParts;
  declare private readonly memory: Memory;
  declare private readonly paths: SlabPaths;
  /** This CPU's ReapWork. */
  declare private readonly own: Pointer;

  constructor(parts: AllocatorParts, paths: SlabPaths, slot: PerCpuSlot) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.paths = paths;
    this.own = slot.of(parts.cpu.id);
  }

  /** @irqs off */
  tick(): void {
    const { memory, own } = this;
    const now = this.parts.cpu.nowNs();
    const due = memory.readFloat64(own + work.dueNs);
    if (now < due) return;
    memory.writeFloat64(own + work.dueNs, now + CPU_REAP_NS);
    // The first tick after boot only sets the time.
    if (due !== 0) memory.write(own + work.isDue, 1);
  }

  /** The caller may sleep. */
  runIfDue(): void {
    const { memory, own } = this;
    if (memory.read(own + work.isDue) === 0) return;
    memory.write(own + work.isDue, 0);
    this.parts.reap();
  }

  reap(cache: CacheRef): void {
    const { memory, parts, paths } = this;
    const { nodeSlabs, memoryNode } = paths;
    const node = nodeSlabs.nodeOf(cache, memoryNode);
    this.reapAlien(cache, node);
    this.drain(cache, node, parts.perCpu.here(memory.read(cache + cacheField.cpuSlab)));
    const now = parts.cpu.nowNs();
    if (now < memory.readFloat64(node + nodeField.nextReapNs)) return;
    memory.writeFloat64(node + nodeField.nextReapNs, now + NODE_REAP_NS);
    const shared = memory.read(node + nodeField.shared);
    if (shared !== 0) this.drain(cache, node, shared);
    if (memory.read(node + nodeField.freeTouched) !== 0) {
      memory.write(node + nodeField.freeTouched, 0);
      return;
    }
    const five = 5 * memory.read(cache + cacheField.objects);
    const limit = memory.read(node + nodeField.freeLimit);
    nodeSlabs.drainFree(cache, node, Math.floor((limit + five - 1) / five));
  }

  /** Another node's turn next. */
  finish(): void {
    const { memory, own } = this;
    const next = memory.read(own + work.node) + 1;
    memory.write(own + work.node, next % this.parts.nodes.length);
  }

  /** Linux: reap_alien.  @takes alien_cache.lock, if it is free */
  private reapAlien(cache: CacheRef, node: Pointer): void {
    const { memory, parts, paths } = this;
    const home = parts.nodes[memory.read(this.own + work.node)];
    const table = memory.read(node + nodeField.alien);
    const alien = table === 0 ? 0 : memory.read(table + home);
    if (alien === 0 || memory.read(alien + AlienCache.array + arrayField.avail) === 0) return;
    const irqs = parts.locks.tryLockIrqSave(alien + AlienCache.lock);
    if (irqs === REFUSED) return;
    const dying: PageRef[] = [];
    paths.nodeSlabs.sendHome(cache, alien + AlienCache.array, home, dying);
    parts.locks.unlockIrqRestore(alien + AlienCache.lock, irqs);
    paths.nodeSlabs.destroySlabs(cache, dying);
  }

  /** A fifth of an array that was not used since.  Linux: drain_array.  @takes list_lock */
  private drain(cache: CacheRef, node: Pointer, array: Pointer): void {
    const { memory, parts, paths } = this;
    if (memory.read(array + arrayField.avail) === 0) return;
    if (memory.read(array + arrayField.touched) !== 0) {
      memory.write(array + arrayField.touched, 0);
      return;
    }
    const dying: PageRef[] = [];
    const irqs = parts.locks.lockIrqSave(node + nodeField.listLock);
    paths.nodeSlabs.drainArray(cache, node, array, false, dying);
    parts.locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    paths.nodeSlabs.destroySlabs(cache, dying);
  }
}
