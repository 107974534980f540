/**
 * Memory pools: an allocator with elements in reserve, so that who may sleep always gets one in the end.
 *
 * A request asks the allocator behind the pool first, in a way that fails fast; then it takes from the reserve; then it
 * waits until somebody returns an element.  A returned element goes into the reserve while that is not full.
 *
 * Invariants, while pool.lock is free
 *   M1  currNr is 0 to minNr; the first currNr words of `elements` are different pointers, none of them 0
 *   M2  at rest nobody waits
 *   M3  when all that was given is back, the reserve is full
 *
 * Lock order: pool.lock -> wait_queue.lock.
 *
 * Linux: mm/mempool.c.  Differs: reserved elements are not poisoned, and there are no pools in memory of one's own
 * (mempool_init).
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { embed, struct, word, wordsIn } from "../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import { LockClass } from "../../sync/lock-class.ts";
import type { Sleepers } from "../../sync/sleeper.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { WaitQueueHead, type WaitQueues } from "../../sync/wait-queue.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import type { Kmalloc } from "./kmalloc.ts";
import type { CacheRef } from "./kmem-cache.ts";
import type { SlabCaches } from "./slab-caches.ts";

/** Word index of a struct mempool. */
export type MempoolRef = Pointer;

export const Mempool = struct("mempool", {
  lock: embed(SpinLock, "atomic"),
  /** Elements that are always kept in reserve. */
  minNr: word("hint:pool.lock", "counter"),
  /** Elements in reserve. */
  currNr: word("hint:pool.lock", "counter"),
  elements: word("lock:pool.lock", "pointer:element"),
  /** What the functions are given. */
  poolData: word("holder"),
  /** `(cpu, gfp, poolData)` gives an element or 0. */
  alloc: word("holder", "functionId"),
  /** `(cpu, element, poolData)`. */
  free: word("holder", "functionId"),
  wait: embed(WaitQueueHead, "atomic"),
});

const field = Mempool;
const { DIRECT_RECLAIM, IO, ZERO, NOMEMALLOC, NORETRY, NOWARN } = GfpFlag;
/** A waiter looks again after so long, whatever happens.  Linux: 5 * HZ. */
const LOOK_AGAIN_NS = 5e9;
/** A pointer's size in the kernel that is modelled: what the table of elements takes. */
const POINTER_BYTES = 8;
/** A free fills the reserve by what it has seen without the lock. */
const noRecheck = mutant("mempool-no-recheck");

export interface MempoolParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly functions: Functions;
  readonly waitQueues: WaitQueues;
  readonly slabs: SlabCaches;
  readonly heap: Kmalloc;
  readonly pages: PageAllocator;
}

export class Mempools {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly functions: Functions;
  declare private readonly waitQueues: WaitQueues;
  declare private readonly sleepers: Sleepers;
  declare private readonly heap: Kmalloc;
  declare private readonly slab: readonly [FunctionId, FunctionId];
  declare private readonly kmalloc: readonly [FunctionId, FunctionId];
  declare private readonly page: readonly [FunctionId, FunctionId];

  constructor(parts: MempoolParts) {
    const { functions, slabs, heap, pages } = parts;
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.locks = parts.locks;
    this.functions = functions;
    this.waitQueues = parts.waitQueues;
    this.sleepers = parts.waitQueues.sleepers;
    this.heap = heap;
    this.slab = [
      functions.register("mempool_alloc_slab", (_cpu, gfp, cache) => slabs.alloc(cache, gfp)),
      functions.register("mempool_free_slab", (_cpu, object, cache) => slabs.free(cache, object)),
    ];
    this.kmalloc = [
      functions.register("mempool_kmalloc", (_cpu, gfp, bytes) => heap.kmalloc(bytes, gfp)),
      functions.register("mempool_kfree", (_cpu, object) => heap.kfree(object)),
    ];
    this.page = [
      functions.register("mempool_alloc_pages", (_cpu, gfp, order) => pages.getFreePages(gfp, order)),
      functions.register("mempool_free_pages", (_cpu, at, order) => pages.freePagesAt(at, order)),
    ];
  }

  // ---- pools ----

  /** A pool over a cache, with `minNr` of its objects in reserve; 0 when there is no memory.  @may-sleep */
  createSlabPool(minNr: number, cache: CacheRef): MempoolRef {
    return this.create(minNr, this.slab[0], this.slab[1], cache);
  }

  /** Over kmalloc.  @may-sleep */
  createKmallocPool(minNr: number, bytes: number): MempoolRef {
    return this.create(minNr, this.kmalloc[0], this.kmalloc[1], bytes);
  }

  /** Over blocks of 2^order pages, by the pointer to their words.  @may-sleep */
  createPagePool(minNr: number, order: number): MempoolRef {
    return this.create(minNr, this.page[0], this.page[1], order);
  }

  /** Over functions of one's own: see `alloc` and `free` of the struct.  Linux: mempool_create.  @may-sleep */
  create(minNr: number, alloc: FunctionId, free: FunctionId, poolData: number): MempoolRef {
    if (!Number.isInteger(minNr) || minNr < 1)
      bug(`mempool_create: minNr ${minNr}: valid are whole numbers from 1`);
    const { memory, heap } = this;
    const pool = heap.kzalloc(wordsIn(Mempool) * WORD_BYTES, Gfp.KERNEL);
    if (pool === 0) return 0;
    this.locks.format(pool + field.lock, LockClass.MEMPOOL);
    this.waitQueues.format(pool + field.wait);
    memory.write(pool + field.minNr, minNr);
    memory.write(pool + field.alloc, alloc);
    memory.write(pool + field.free, free);
    memory.write(pool + field.poolData, poolData);
    const elements = heap.kmallocArray(minNr, POINTER_BYTES, Gfp.KERNEL);
    memory.write(pool + field.elements, elements);
    let isFilled = elements !== 0;
    for (let left = minNr; left > 0 && isFilled; left--) {
      const element = this.allocBehind(pool, Gfp.KERNEL);
      if (element === 0) isFilled = false;
      else this.addElement(pool, element);
    }
    if (isFilled) return pool;
    this.destroy(pool);
    return 0;
  }

  /** Everything that was given must be back, and nobody may wait.  Linux: mempool_destroy. */
  destroy(pool: MempoolRef): void {
    if (pool === 0) return;
    const { memory, heap } = this;
    while (memory.read(pool + field.currNr) > 0) this.freeBehind(pool, this.removeElement(pool));
    heap.kfree(memory.read(pool + field.elements));
    heap.kfree(pool);
  }

  /**
   * Changes the size of the reserve.  False when there was no memory for the larger table; elements that could not be
   * had come as others are freed.  Linux: mempool_resize.
   * @may-sleep   @takes pool.lock
   */
  resize(pool: MempoolRef, minNr: number): boolean {
    if (!Number.isInteger(minNr) || minNr < 1)
      bug(`mempool_resize: minNr ${minNr}: valid are whole numbers from 1`);
    const { memory, heap } = this;
    this.cpu.mightSleep("mempool_resize");
    let irqs = this.lock(pool);
    if (minNr <= memory.read(pool + field.minNr)) {
      while (minNr < memory.read(pool + field.currNr)) {
        const element = this.removeElement(pool);
        this.unlock(pool, irqs);
        this.freeBehind(pool, element);
        irqs = this.lock(pool);
      }
      memory.write(pool + field.minNr, minNr);
      this.unlock(pool, irqs);
      return true;
    }
    this.unlock(pool, irqs);
    const elements = heap.kmallocArray(minNr, POINTER_BYTES, Gfp.KERNEL);
    if (elements === 0) return false;
    irqs = this.lock(pool);
    if (minNr <= memory.read(pool + field.minNr)) {
      // Another resize has done more.
      this.unlock(pool, irqs);
      heap.kfree(elements);
      return true;
    }
    const before = memory.read(pool + field.elements);
    memory.copy(elements, before, memory.read(pool + field.currNr));
    memory.write(pool + field.elements, elements);
    memory.write(pool + field.minNr, minNr);
    this.unlock(pool, irqs);
    heap.kfree(before);
    this.fill(pool);
    return true;
  }

  // ---- elements ----

  /**
   * An element.  With __GFP_DIRECT_RECLAIM it sleeps until there is one, and never gives 0; without, 0 when allocator and
   * reserve have none.  Linux: mempool_alloc.
   * @takes pool.lock   @may-sleep with __GFP_DIRECT_RECLAIM
   */
  alloc(pool: MempoolRef, gfp: number): Pointer {
    if ((gfp & ZERO) !== 0)
      bug("mempool_alloc: elements from the reserve are not zeroed: __GFP_ZERO is not for pools");
    if ((gfp & DIRECT_RECLAIM) !== 0) this.cpu.mightSleep("mempool_alloc");
    const { memory } = this;
    const full = gfp | NOMEMALLOC | NORETRY | NOWARN;
    let flags = full & ~(DIRECT_RECLAIM | IO);
    for (;;) {
      const element = this.allocBehind(pool, flags);
      if (element !== 0) return element;
      const irqs = this.lock(pool);
      if (memory.read(pool + field.currNr) > 0) {
        const reserved = this.removeElement(pool);
        this.unlock(pool, irqs);
        return reserved;
      }
      if (flags !== full) {
        // The reserve is empty, too: reclaim is worth its time.
        this.unlock(pool, irqs);
        flags = full;
        continue;
      }
      if ((gfp & DIRECT_RECLAIM) === 0) {
        this.unlock(pool, irqs);
        return 0;
      }
      // Queued before the lock is dropped: who returns an element from here on sees the waiter.
      this.waitQueues.prepareToWait(pool + field.wait, false);
      this.unlock(pool, irqs);
      this.sleepers.sleep(LOOK_AGAIN_NS);
      this.waitQueues.finishWait(pool + field.wait);
    }
  }

  /** From the reserve alone; 0 when that is empty.  Linux: mempool_alloc_preallocated.  @takes pool.lock */
  allocPreallocated(pool: MempoolRef): Pointer {
    const irqs = this.lock(pool);
    const element = this.memory.read(pool + field.currNr) > 0 ? this.removeElement(pool) : 0;
    this.unlock(pool, irqs);
    return element;
  }

  /**
   * A look without the lock saves it while the reserve is full, which is nearly always.  It is enough: whoever took
   * from the reserve frees later, and then sees that something is missing.  Under the lock the look is repeated, since
   * another CPU may have filled the place.  Linux: mempool_free.
   * @takes pool.lock when the reserve is not full
   */
  free(pool: MempoolRef, element: Pointer): void {
    if (element === 0) return;
    const { memory } = this;
    if (memory.load(pool + field.currNr) < memory.load(pool + field.minNr)) {
      const irqs = this.lock(pool);
      reached("mempool-no-recheck");
      if (noRecheck || memory.read(pool + field.currNr) < memory.read(pool + field.minNr)) {
        this.addElement(pool, element);
        this.unlock(pool, irqs);
        this.waitQueues.wake(pool + field.wait);
        return;
      }
      this.unlock(pool, irqs);
    }
    this.freeBehind(pool, element);
  }

  /** Elements in reserve; a hint. */
  reserved(pool: MempoolRef): number {
    return this.memory.load(pool + field.currNr);
  }

  /** M1 to M3, at rest; `isIdle`: everything that was given is back. */
  check(pool: MempoolRef, isIdle: boolean): void {
    const { memory } = this;
    const name = `mempool at word ${pool}`;
    const minNr = memory.read(pool + field.minNr);
    const currNr = memory.read(pool + field.currNr);
    if (currNr < 0 || currNr > minNr) bug(`M1 ${name}: ${currNr} elements are in reserve, at most ${minNr}`);
    const elements = memory.read(pool + field.elements);
    const held = Array.from({ length: currNr }, (_, i) => memory.read(elements + i));
    if (held.includes(0) || new Set(held).size < currNr)
      bug(`M1 ${name}: its elements ${held.join(" ")} are not all different`);
    this.waitQueues.check(pool + field.wait);
    if (isIdle && currNr < minNr) bug(`M3 ${name}: ${currNr} of ${minNr} are in reserve, and none is out`);
  }

  // ---- the rest ----

  /** Fills a reserve that has grown, unless others do. */
  private fill(pool: MempoolRef): void {
    const { memory } = this;
    for (;;) {
      let irqs = this.lock(pool);
      const isFull = memory.read(pool + field.currNr) >= memory.read(pool + field.minNr);
      this.unlock(pool, irqs);
      if (isFull) return;
      const element = this.allocBehind(pool, Gfp.KERNEL);
      if (element === 0) return;
      irqs = this.lock(pool);
      const fits = memory.read(pool + field.currNr) < memory.read(pool + field.minNr);
      if (fits) this.addElement(pool, element);
      this.unlock(pool, irqs);
      if (!fits) {
        this.freeBehind(pool, element);
        return;
      }
    }
  }

  /** @holds pool.lock */
  private addElement(pool: MempoolRef, element: Pointer): void {
    const { memory } = this;
    const currNr = memory.read(pool + field.currNr);
    const minNr = memory.read(pool + field.minNr);
    if (currNr >= minNr) bug(`mempool at word ${pool}: an element more than the ${minNr} of its reserve`);
    memory.write(memory.read(pool + field.elements) + currNr, element);
    memory.store(pool + field.currNr, currNr + 1);
  }

  /** @holds pool.lock */
  private removeElement(pool: MempoolRef): Pointer {
    const { memory } = this;
    const left = memory.read(pool + field.currNr) - 1;
    memory.store(pool + field.currNr, left);
    return memory.read(memory.read(pool + field.elements) + left);
  }

  private allocBehind(pool: MempoolRef, gfp: number): Pointer {
    const { memory } = this;
    return this.functions.call(memory.read(pool + field.alloc), gfp, memory.read(pool + field.poolData));
  }

  private freeBehind(pool: MempoolRef, element: Pointer): void {
    const { memory } = this;
    this.functions.call(memory.read(pool + field.free), element, memory.read(pool + field.poolData));
  }

  private lock(pool: MempoolRef): number {
    return this.locks.lockIrqSave(pool + field.lock);
  }

  private unlock(pool: MempoolRef, irqs: number): void {
    this.locks.unlockIrqRestore(pool + field.lock, irqs);
  }
}
