/**
 * Objects by way of sheaves: a CPU takes from, and frees into, an array of its own; the slabs below see whole arrays.
 *
 *   alloc   this CPU's main sheaf -> its spare -> a full one of the barn -> an empty one, filled from the slabs
 *   free    the main sheaf -> the spare -> an empty one of the barn -> a new one; where the barn has enough full ones,
 *           the spare's objects go back to their slabs
 *
 * A CPU's sheaves are its own, with interrupts off (Linux: local_trylock, which an interrupt cannot win either).  What is
 * asked for on another node, and what comes from one, goes past them.
 *
 * Linux 6.18: mm/slub.c alloc_from_pcs, __pcs_replace_empty_main, free_to_pcs, __pcs_replace_full_main, pcs_flush_all,
 * kmem_cache_prefill_sheaf, kmem_cache_refill_sheaf, kmem_cache_return_sheaf, kmem_cache_alloc_from_sheaf.  Differs: bulk
 * forms move one object at a time; a flushed spare sheaf stays with its CPU.
 */

import type { Cpu } from "../../../hardware/cpu.ts";
import { bug } from "../../../memory/bug.ts";
import type { Memory } from "../../../memory/memory.ts";
import type { Pointer } from "../../../memory/units.ts";
import type { PerCpu } from "../../../sync/percpu.ts";
import { Gfp, GfpFlag } from "../../pages/gfp.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import { type CacheRef, KmemCache, KmemCacheNode, SlabGlobals } from "../kmem-cache.ts";
import type { ObjectPaths } from "../object-allocator.ts";
import { NO_NODE } from "../slab-backing.ts";
import type { SlabPages } from "../slab-pages.ts";
import type { Slub } from "../slub.ts";
import { type Barns, TOO_MANY } from "./barn.ts";
import { Barn, CpuSheaves, MAX_SHEAF_CAPACITY, Sheaf, type SheafRef } from "./structures.ts";

const cacheField = KmemCache;
const nodeField = KmemCacheNode;
const ownField = CpuSheaves;
const sheafField = Sheaf;
const { ZERO, DIRECT_RECLAIM, NOMEMALLOC } = GfpFlag;

export interface SheafParts {
  readonly cpu: Cpu;
  readonly perCpu: PerCpu;
  readonly localNode: number;
  /** Nodes with memory. */
  readonly nodes: readonly number[];
  readonly globals: Pointer;
  readonly slub: Slub;
  readonly slabs: SlabPages;
  readonly barns: Barns;
}

export class SheafPaths implements ObjectPaths {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly slub: Slub;
  declare private readonly slabs: SlabPages;
  declare private readonly barns: Barns;
  declare private readonly globals: Pointer;
  declare private readonly localNode: number;
  /** Whether this CPU's node has memory, and so caches' parts of its own. */
  declare private readonly hasBarn: boolean;
  declare private readonly toOwnUnit: number;

  constructor(parts: SheafParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.slub = parts.slub;
    this.slabs = parts.slabs;
    this.barns = parts.barns;
    this.globals = parts.globals;
    this.localNode = parts.localNode;
    this.hasBarn = parts.nodes.includes(parts.localNode);
    this.toOwnUnit = parts.perCpu.here(0);
  }

  // ---- objects ----

  alloc(cache: CacheRef, gfp: number, node: number): Pointer {
    const { memory, cpu } = this;
    const sheaves = memory.read(cache + cacheField.cpuSheaves);
    if (sheaves === 0 || !this.hasBarn || (node !== NO_NODE && node !== this.localNode))
      return this.slub.alloc(cache, gfp, node);
    if ((gfp & DIRECT_RECLAIM) !== 0) cpu.mightSleep("kmem_cache_alloc");
    const own = sheaves + this.toOwnUnit;
    const irqs = cpu.irqSave();
    const hasSome = memory.read(memory.read(own + ownField.main) + sheafField.size) > 0;
    if (hasSome || this.replaceEmptyMain(cache, own, gfp, irqs)) {
      const object = this.pop(memory.read(own + ownField.main));
      cpu.irqRestore(irqs);
      if ((gfp & ZERO) !== 0) this.slub.zero(cache, object);
      return object;
    }
    cpu.irqRestore(irqs);
    return this.slub.alloc(cache, gfp, node);
  }

  free(cache: CacheRef, object: Pointer): void {
    const { memory, cpu } = this;
    const sheaves = memory.read(cache + cacheField.cpuSheaves);
    if (sheaves === 0 || !this.hasBarn || !this.isLocal(cache, object)) return this.slub.free(cache, object);
    const own = sheaves + this.toOwnUnit;
    const irqs = cpu.irqSave();
    const main = memory.read(own + ownField.main);
    const hasRoom = memory.read(main + sheafField.size) < memory.read(main + sheafField.capacity);
    if (hasRoom || this.replaceFullMain(cache, own, irqs)) {
      this.push(memory.read(own + ownField.main), object);
      cpu.irqRestore(irqs);
      return;
    }
    cpu.irqRestore(irqs);
    this.slub.free(cache, object);
  }

  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    if (this.memory.read(cache + cacheField.cpuSheaves) === 0)
      return this.slub.allocBulk(cache, gfp, count, into);
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
    if (this.memory.read(cache + cacheField.cpuSheaves) === 0) this.slub.freeBulk(cache, objects);
    else for (const object of objects) this.free(cache, object);
  }

  /** Gives this CPU's objects back to their slabs.  Linux: pcs_flush_all. */
  flushHere(cache: CacheRef): void {
    const sheaves = this.memory.read(cache + cacheField.cpuSheaves);
    if (sheaves === 0) return;
    for (const field of [ownField.main, ownField.spare]) {
      const objects: Pointer[] = [];
      const irqs = this.cpu.irqSave();
      const sheaf = this.memory.read(sheaves + this.toOwnUnit + field);
      if (sheaf !== 0) this.empty(sheaf, objects);
      this.cpu.irqRestore(irqs);
      this.slub.freeBulk(cache, objects);
    }
  }

  // ---- prefilled sheaves ----

  /**
   * A sheaf with at least `count` objects, for a caller who must not fail later; 0 when there is no memory.
   * Linux: kmem_cache_prefill_sheaf.
   */
  prefill(cache: CacheRef, gfp: number, count: number): SheafRef {
    const { memory } = this;
    if (count < 1 || count > MAX_SHEAF_CAPACITY)
      bug(`kmem_cache_prefill_sheaf: ${count} objects: valid are 1 to ${MAX_SHEAF_CAPACITY}`);
    const capacity = this.capacityOf(cache);
    let sheaf = 0;
    if (count <= capacity) sheaf = this.barns.getFull(this.barnOf(cache)) || this.newSheaf(cache, gfp);
    else sheaf = this.make(Math.max(capacity, count), gfp);
    if (sheaf === 0) return 0;
    memory.add(this.barnOf(cache) + Barn.nrPrefilled, 1);
    if (this.fill(cache, sheaf, gfp, count)) return sheaf;
    this.giveBack(cache, gfp, sheaf);
    return 0;
  }

  /** As many objects as were asked for, once more; false when there is no memory. */
  refill(cache: CacheRef, gfp: number, sheaf: SheafRef, count: number): boolean {
    const capacity = this.memory.read(sheaf + sheafField.capacity);
    if (count > capacity)
      bug(`kmem_cache_refill_sheaf: ${count} objects: the sheaf at word ${sheaf} holds ${capacity}`);
    return this.fill(cache, sheaf, gfp, count);
  }

  /** An object of a prefilled sheaf; 0 when it is empty.  Linux: kmem_cache_alloc_from_sheaf. */
  takeFrom(cache: CacheRef, gfp: number, sheaf: SheafRef): Pointer {
    if (this.memory.read(sheaf + sheafField.size) === 0) return 0;
    const object = this.pop(sheaf);
    if ((gfp & ZERO) !== 0) this.slub.zero(cache, object);
    return object;
  }

  /** Linux: kmem_cache_return_sheaf. */
  giveBack(cache: CacheRef, gfp: number, sheaf: SheafRef): void {
    const { memory, cpu } = this;
    const barn = this.barnOf(cache);
    memory.add(barn + Barn.nrPrefilled, -1);
    const own = memory.read(cache + cacheField.cpuSheaves) + this.toOwnUnit;
    const isUsual = memory.read(sheaf + sheafField.capacity) === this.capacityOf(cache);
    const irqs = cpu.irqSave();
    const isSpare = isUsual && memory.read(own + ownField.spare) === 0;
    if (isSpare) memory.write(own + ownField.spare, sheaf);
    cpu.irqRestore(irqs);
    if (isSpare) return;
    // Filled up it is of use to others; if it cannot be, its objects go back.
    if (isUsual && this.fill(cache, sheaf, gfp, this.capacityOf(cache)) && this.barns.putFull(barn, sheaf))
      return;
    this.flushSheaf(cache, sheaf);
    this.freeSheaf(sheaf);
  }

  // ---- sheaves ----

  /** All objects of a barn's full sheaves go back to their slabs, and all its sheaves.  Linux: barn_shrink. */
  emptyBarn(cache: CacheRef, barn: Pointer): void {
    for (let sheaf = this.barns.getFull(barn); sheaf !== 0; sheaf = this.barns.getFull(barn)) {
      this.flushSheaf(cache, sheaf);
      this.freeSheaf(sheaf);
    }
    for (let sheaf = this.barns.getEmpty(barn); sheaf !== 0; sheaf = this.barns.getEmpty(barn))
      this.freeSheaf(sheaf);
  }

  /** An empty sheaf for so many objects, or 0.  Linux: alloc_empty_sheaf. */
  make(capacity: number, gfp: number): SheafRef {
    const { memory } = this;
    const from = memory.read(this.globals + SlabGlobals.sheafCache);
    const sheaf = this.slub.alloc(from, gfp & ~ZERO, NO_NODE);
    if (sheaf === 0) return 0;
    memory.write(sheaf + sheafField.next, 0);
    memory.write(sheaf + sheafField.size, 0);
    memory.write(sheaf + sheafField.capacity, capacity);
    return sheaf;
  }

  freeSheaf(sheaf: SheafRef): void {
    this.slub.free(this.memory.read(this.globals + SlabGlobals.sheafCache), sheaf);
  }

  /** This CPU's node's. */
  private barnOf(cache: CacheRef): Pointer {
    const { memory } = this;
    return memory.read(memory.read(cache + cacheField.nodes + this.localNode) + nodeField.barn);
  }

  private capacityOf(cache: CacheRef): number {
    const { memory } = this;
    return memory.read(memory.read(cache + cacheField.cpuSheaves) + this.toOwnUnit + ownField.capacity);
  }

  private newSheaf(cache: CacheRef, gfp: number): SheafRef {
    return this.barns.getEmpty(this.barnOf(cache)) || this.make(this.capacityOf(cache), gfp);
  }

  private putEmpty(cache: CacheRef, sheaf: SheafRef): void {
    if (!this.barns.putEmpty(this.barnOf(cache), sheaf)) this.freeSheaf(sheaf);
  }

  /**
   * Sees to it that the main sheaf, which is empty, has objects; false when there are none to be had so.  Interrupts are
   * off, but may come on in between (`irqs`: what they were).  Linux: __pcs_replace_empty_main.
   */
  private replaceEmptyMain(cache: CacheRef, own: Pointer, gfp: number, irqs: number): boolean {
    const { memory, cpu } = this;
    const main = memory.read(own + ownField.main);
    const spare = memory.read(own + ownField.spare);
    if (spare !== 0 && memory.read(spare + sheafField.size) > 0) {
      memory.write(own + ownField.main, spare);
      memory.write(own + ownField.spare, main);
      return true;
    }
    const full = this.barns.replaceEmpty(this.barnOf(cache), main);
    if (full !== 0) {
      memory.write(own + ownField.main, Math.abs(full));
      if (full < 0) this.freeSheaf(main);
      return true;
    }
    if (spare !== 0) memory.write(own + ownField.spare, 0);
    cpu.irqRestore(irqs);
    const sheaf = spare || this.newSheaf(cache, gfp);
    const isFilled = sheaf !== 0 && this.fill(cache, sheaf, gfp, memory.read(sheaf + sheafField.capacity));
    if (sheaf !== 0 && !isFilled) this.putEmpty(cache, sheaf);
    cpu.irqSave();
    if (isFilled) this.installFull(cache, own, sheaf);
    return memory.read(memory.read(own + ownField.main) + sheafField.size) > 0;
  }

  /** An interrupt may have changed the CPU's sheaves while this one was filled.  @irqs off */
  private installFull(cache: CacheRef, own: Pointer, full: SheafRef): void {
    const { memory } = this;
    const main = memory.read(own + ownField.main);
    const spare = memory.read(own + ownField.spare);
    if (memory.read(main + sheafField.size) === 0) {
      memory.write(own + ownField.main, full);
      if (spare === 0) memory.write(own + ownField.spare, main);
      else this.putEmpty(cache, main);
    } else if (spare === 0) memory.write(own + ownField.spare, full);
    else if (!this.barns.putFull(this.barnOf(cache), full)) {
      this.flushSheaf(cache, full);
      this.freeSheaf(full);
    }
  }

  /** Sees to it that the main sheaf, which is full, has room.  As `replaceEmptyMain`.  Linux: __pcs_replace_full_main. */
  private replaceFullMain(cache: CacheRef, own: Pointer, irqs: number): boolean {
    const { memory, cpu, barns } = this;
    const barn = this.barnOf(cache);
    const main = memory.read(own + ownField.main);
    const spare = memory.read(own + ownField.spare);
    if (spare !== 0 && memory.read(spare + sheafField.size) < memory.read(spare + sheafField.capacity)) {
      memory.write(own + ownField.main, spare);
      memory.write(own + ownField.spare, main);
      return true;
    }
    let empty = spare === 0 ? barns.getEmpty(barn) : barns.replaceFull(barn, main);
    if (empty > 0) {
      if (spare === 0) memory.write(own + ownField.spare, main);
      memory.write(own + ownField.main, empty);
      return true;
    }
    // The barn has enough: the spare's objects go back to their slabs.
    const flushed = empty === TOO_MANY ? spare : 0;
    if (flushed !== 0) memory.write(own + ownField.spare, 0);
    cpu.irqRestore(irqs);
    if (flushed !== 0) this.flushSheaf(cache, flushed);
    empty = flushed || this.make(memory.read(main + sheafField.capacity), Gfp.NOWAIT);
    cpu.irqSave();
    if (empty > 0) this.installEmpty(cache, own, empty);
    const now = memory.read(own + ownField.main);
    return memory.read(now + sheafField.size) < memory.read(now + sheafField.capacity);
  }

  /** Linux: __pcs_install_empty_sheaf.  @irqs off */
  private installEmpty(cache: CacheRef, own: Pointer, empty: SheafRef): void {
    const { memory, barns } = this;
    const main = memory.read(own + ownField.main);
    if (memory.read(own + ownField.spare) === 0) {
      memory.write(own + ownField.spare, main);
      memory.write(own + ownField.main, empty);
    } else if (
      memory.read(main + sheafField.size) === memory.read(main + sheafField.capacity) &&
      barns.putFull(this.barnOf(cache), main)
    ) {
      memory.write(own + ownField.main, empty);
    } else this.putEmpty(cache, empty);
  }

  /** Objects from the slabs until there are `count`; false, and what there was stays, when there is no memory. */
  private fill(cache: CacheRef, sheaf: SheafRef, gfp: number, count: number): boolean {
    const { memory } = this;
    const size = memory.read(sheaf + sheafField.size);
    if (size >= count) return true;
    const objects: Pointer[] = [];
    if (!this.slub.allocBulk(cache, (gfp | NOMEMALLOC) & ~ZERO, count - size, objects)) return false;
    for (const object of objects) this.push(sheaf, object);
    return true;
  }

  private flushSheaf(cache: CacheRef, sheaf: SheafRef): void {
    const objects: Pointer[] = [];
    this.empty(sheaf, objects);
    this.slub.freeBulk(cache, objects);
  }

  private empty(sheaf: SheafRef, into: Pointer[]): void {
    while (this.memory.read(sheaf + sheafField.size) > 0) into.push(this.pop(sheaf));
  }

  private pop(sheaf: SheafRef): Pointer {
    const { memory } = this;
    const size = memory.read(sheaf + sheafField.size) - 1;
    memory.write(sheaf + sheafField.size, size);
    return memory.read(sheaf + sheafField.objects + size);
  }

  private push(sheaf: SheafRef, object: Pointer): void {
    const { memory } = this;
    const size = memory.read(sheaf + sheafField.size);
    memory.write(sheaf + sheafField.objects + size, object);
    memory.write(sheaf + sheafField.size, size + 1);
  }

  /** An object of this cache, from this CPU's node. */
  private isLocal(cache: CacheRef, object: Pointer): boolean {
    const slab = this.slabs.slabAt(object);
    return (
      slab !== 0 &&
      this.memory.read(slab + SlabPage.cache) === cache &&
      this.slabs.frames.nodeOf(slab) === this.localNode
    );
  }
}
