/**
 * SLOB: blocks of any size from pages with free blocks, first fit, under one lock; caches and kmalloc on top of it.
 *
 * A page with free blocks is on one of three lists, by the size of what it was last made for.  The search begins where
 * the last one ended: the page that had room becomes the first of its list.  Objects of a page and more are pages.
 *
 * Invariants, while slob_lock is free (check-slob tests them)
 *   O1  the free blocks of a page are in the order of addresses, lie in it, do not touch, and add up to its free units
 *   O2  a page is on a list exactly if it has free units; a page that is all free does not exist
 *
 * A cache does not know its objects, and cannot tell whether there are any.
 *
 * Linux 6.3: mm/slob.c slob_alloc, slob_free, slob_alloc_node, kmem_cache_free, __do_kmalloc_node, kfree, __ksize.
 */

import type { Cpu } from "../../../hardware/cpu.ts";
import { bug } from "../../../memory/bug.ts";
import { listAdd, listAddTail, listDel, listInit } from "../../../memory/list.ts";
import type { Memory } from "../../../memory/memory.ts";
import { mutant, reached } from "../../../memory/mutants.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../../memory/units.ts";
import type { FunctionId, Functions } from "../../../sync/functions.ts";
import { LockClass } from "../../../sync/lock-class.ts";
import type { Rcu } from "../../../sync/rcu.ts";
import type { SpinLocks } from "../../../sync/spinlock.ts";
import { GfpFlag } from "../../pages/gfp.ts";
import { PAGE_LINKS, type PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import type { CacheRef } from "../kmem-cache.ts";
import type { ObjectPaths, SizedMemory } from "../object-allocator.ts";
import { NO_NODE, SlabBacking } from "../slab-backing.ts";
import { SlabFlag } from "../slab-flags.ts";
import type { AllocatorParts } from "../slab-parts.ts";
import { PAGE_UNITS, SlobBlocks, UNIT_BYTES, unitsOf } from "./slob-blocks.ts";
import { SlobCache, SlobGlobals } from "./structures.ts";

const cacheField = SlobCache;
const slabField = SlabPage;
const globalField = SlobGlobals;
const { ZERO, DIRECT_RECLAIM } = GfpFlag;
/** Linux: SLOB_BREAK1, SLOB_BREAK2. */
const SMALL_BYTES = 256;
const MEDIUM_BYTES = 1024;
/** Linux: ARCH_KMALLOC_MINALIGN; before each kmalloc object so many bytes say how large it is. */
export const KMALLOC_ALIGN = 8;
/** At the end of an object of a TYPESAFE_BY_RCU cache: callback head and size.  Linux: struct slob_rcu. */
export const SLOB_RCU_BYTES = 24;
/** Blocks are taken and freed without slob_lock. */
const unlocked = mutant("slob-unlocked");

const orderOf = (bytes: number): number => Math.max(0, 32 - Math.clz32((bytes - 1) >>> 12));

export class Slob implements ObjectPaths, SizedMemory {
  declare readonly backing: SlabBacking;
  declare readonly blocks: SlobBlocks;
  /** SlobGlobals. */
  declare readonly globals: Pointer;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly functions: Functions;
  declare private readonly rcu: Rcu;
  declare private readonly rcuFree: FunctionId;

  constructor(parts: AllocatorParts, globals: Pointer) {
    this.globals = globals;
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.locks = parts.locks;
    this.functions = parts.functions;
    this.rcu = parts.rcu;
    this.backing = new SlabBacking(parts);
    this.blocks = new SlobBlocks(this.backing);
    this.rcuFree = parts.functions.register("slob_rcu_free", (_cpu, head) => {
      const bytes = this.memory.read(head + 2);
      this.freeBytes(head - (bytes - SLOB_RCU_BYTES) / WORD_BYTES, bytes);
    });
  }

  format(): void {
    this.locks.format(this.globals + globalField.lock, LockClass.SLOB);
    for (let list = 0; list < 3; list++) listInit(this.memory, this.globals + globalField.lists + 2 * list);
  }

  // ---- caches ----

  alloc(cache: CacheRef, gfp: number, node: number): Pointer {
    const { memory, cpu } = this;
    if ((gfp & DIRECT_RECLAIM) !== 0) cpu.mightSleep("kmem_cache_alloc");
    const bytes = memory.read(cache + cacheField.size);
    const construct = memory.read(cache + cacheField.construct);
    const object =
      bytes < PAGE_BYTES
        ? this.allocBytes(bytes, gfp, memory.read(cache + cacheField.align), node, 0)
        : this.allocPages(bytes, gfp, node);
    if (object !== 0 && construct !== 0) this.functions.call(construct, object, 0);
    return object;
  }

  free(cache: CacheRef, object: Pointer): void {
    const { memory } = this;
    const bytes = memory.read(cache + cacheField.size);
    if ((memory.read(cache + cacheField.flags) & SlabFlag.TYPESAFE_BY_RCU) === 0) {
      this.freeBytes(object, bytes);
      return;
    }
    const head = object + (bytes - SLOB_RCU_BYTES) / WORD_BYTES;
    memory.write(head + 2, bytes);
    this.rcu.call(head, this.rcuFree);
  }

  /** Linux: __kmem_cache_alloc_bulk. */
  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    const before = into.length;
    for (let left = count; left > 0; left--) {
      const object = this.alloc(cache, gfp, NO_NODE);
      if (object === 0) {
        this.freeBulk(cache, into.splice(before));
        return false;
      }
      into.push(object);
    }
    return true;
  }

  freeBulk(cache: CacheRef, objects: readonly Pointer[]): void {
    for (const object of objects) this.free(cache, object);
  }

  // ---- kmalloc ----

  /** `bytes` of memory, aligned to them if they are a power of two; 0 when there is none.  Linux: __do_kmalloc_node. */
  kmalloc(bytes: number, gfp: number, node: number): Pointer {
    if ((gfp & DIRECT_RECLAIM) !== 0) this.cpu.mightSleep("kmalloc");
    if (bytes >= PAGE_BYTES - KMALLOC_ALIGN) return this.allocPages(bytes, gfp, node);
    const alignBytes = (bytes & (bytes - 1)) === 0 ? Math.max(KMALLOC_ALIGN, bytes) : KMALLOC_ALIGN;
    const block = this.allocBytes(bytes + KMALLOC_ALIGN, gfp, alignBytes, node, KMALLOC_ALIGN);
    if (block === 0) return 0;
    this.memory.write(block, bytes);
    return block + KMALLOC_ALIGN / WORD_BYTES;
  }

  kfree(object: Pointer): void {
    const slab = this.backing.slabOf(object);
    if (this.isPages(slab)) {
      this.freePages(slab, object);
      return;
    }
    const block = object - KMALLOC_ALIGN / WORD_BYTES;
    this.freeBytes(block, this.memory.read(block) + KMALLOC_ALIGN);
  }

  /** Bytes that a kmalloc object may use. */
  ksize(object: Pointer): number {
    const slab = this.backing.slabOf(object);
    if (this.isPages(slab)) return PAGE_BYTES << this.backing.orderOf(slab);
    return unitsOf(this.memory.read(object - KMALLOC_ALIGN / WORD_BYTES)) * UNIT_BYTES;
  }

  // ---- blocks ----

  /**
   * A block of `bytes`, of which what lies `offsetBytes` behind its start is aligned; 0 when there is no memory.  With a
   * node, from pages of that node.  Linux: slob_alloc.
   * @takes slob_lock
   */
  allocBytes(bytes: number, gfp: number, alignBytes: number, node: number, offsetBytes: number): Pointer {
    const { memory } = this;
    const list = this.listFor(bytes);
    const irqs = this.lock();
    let block = this.fromList(list, bytes, alignBytes, node, offsetBytes);
    this.unlock(irqs);
    if (block === 0) {
      const slab = this.backing.take(0, gfp & ~ZERO, 0, node);
      if (slab === 0) return 0;
      const again = this.lock();
      memory.write(slab + slabField.objects, 0);
      this.blocks.format(slab);
      this.putOn(list, slab);
      block = this.fromPage(slab, bytes, alignBytes, offsetBytes);
      this.unlock(again);
      if (block === 0) bug(`SLOB: ${bytes} bytes do not fit into a page`);
    }
    if ((gfp & ZERO) !== 0) this.zero(block, bytes);
    return block;
  }

  private fromList(list: Pointer, bytes: number, alignBytes: number, node: number, offset: number): Pointer {
    const { memory, backing } = this;
    for (let link = memory.read(list); link !== list; link = memory.read(link)) {
      const slab = link - PAGE_LINKS;
      if (node !== NO_NODE && backing.frames.nodeOf(slab) !== node) continue;
      if (memory.read(slab + slabField.active) < unitsOf(bytes)) continue;
      const block = this.fromPage(slab, bytes, alignBytes, offset);
      if (block === 0) continue;
      // The next search begins here: the list's head moves before this page.
      if (memory.read(slab + slabField.onNodeList) !== 0 && memory.read(list) !== link) {
        listDel(memory, list);
        listAddTail(memory, list, link);
      }
      return block;
    }
    return 0;
  }

  private fromPage(slab: PageRef, bytes: number, alignBytes: number, offsetBytes: number): Pointer {
    const byte = this.blocks.take(slab, bytes, alignBytes, offsetBytes);
    if (byte < 0) return 0;
    if (this.memory.read(slab + slabField.active) === 0) this.takeOff(slab);
    return this.backing.baseOf(slab) + byte / WORD_BYTES;
  }

  /** Frees an object or block by its size.  Linux: __kmem_cache_free, slob_free.  @takes slob_lock */
  freeBytes(block: Pointer, bytes: number): void {
    const { memory, backing, blocks } = this;
    const slab = backing.slabOf(block);
    if (bytes >= PAGE_BYTES) {
      this.freePages(slab, block);
      return;
    }
    if (this.isPages(slab)) bug(`SLOB: free of ${bytes} bytes at word ${block}, which are pages`);
    const units = unitsOf(bytes);
    const at = ((block - backing.baseOf(slab)) * WORD_BYTES) / UNIT_BYTES;
    const irqs = this.lock();
    const free = memory.read(slab + slabField.active) + units;
    const isListed = memory.read(slab + slabField.onNodeList) !== 0;
    if (free >= PAGE_UNITS) {
      if (isListed) this.takeOff(slab);
      this.unlock(irqs);
      if (free > PAGE_UNITS) bug(`SLOB: free of word ${block}: ${free} units of its page would be free`);
      backing.give(slab);
      return;
    }
    if (isListed) blocks.put(slab, at, units);
    else {
      blocks.putFirst(slab, at, units);
      this.putOn(this.listFor(bytes), slab);
    }
    this.unlock(irqs);
  }

  // ---- pages ----

  /** Linux: slob_new_pages. */
  private allocPages(bytes: number, gfp: number, node: number): Pointer {
    const slab = this.backing.take(0, gfp, orderOf(bytes), node);
    if (slab === 0) return 0;
    this.memory.write(slab + slabField.objects, 1);
    this.memory.write(slab + slabField.onNodeList, 0);
    return this.backing.baseOf(slab);
  }

  private freePages(slab: PageRef, object: Pointer): void {
    if (!this.isPages(slab) || this.backing.baseOf(slab) !== object)
      bug(`SLOB: free of pages at word ${object}: no object of pages begins there`);
    this.backing.give(slab);
  }

  private isPages(slab: PageRef): boolean {
    return this.memory.read(slab + slabField.objects) !== 0;
  }

  // ---- lists ----

  private listFor(bytes: number): Pointer {
    const list = bytes < SMALL_BYTES ? 0 : bytes < MEDIUM_BYTES ? 1 : 2;
    return this.globals + globalField.lists + 2 * list;
  }

  private putOn(list: Pointer, slab: PageRef): void {
    listAdd(this.memory, slab + PAGE_LINKS, list);
    this.memory.write(slab + slabField.onNodeList, 1);
  }

  private takeOff(slab: PageRef): void {
    listDel(this.memory, slab + PAGE_LINKS);
    this.memory.write(slab + slabField.onNodeList, 0);
  }

  private lock(): number {
    reached("slob-unlocked");
    return unlocked ? 0 : this.locks.lockIrqSave(this.globals + globalField.lock);
  }

  private unlock(irqs: number): void {
    if (!unlocked) this.locks.unlockIrqRestore(this.globals + globalField.lock, irqs);
  }

  /** No byte more: what follows may be somebody else's. */
  private zero(block: Pointer, bytes: number): void {
    const { memory } = this;
    const words = bytes >> 2;
    memory.fill(block, words, 0);
    for (let byte = words * WORD_BYTES; byte < bytes; byte++) memory.writeByte(block * WORD_BYTES + byte, 0);
  }
}
