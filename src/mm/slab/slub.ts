/**
 * SLUB as one CPU runs it: objects from this CPU's slab without a lock, and the ways around when it has none.
 *
 *   alloc   this CPU's free list -> what others have freed into its slab -> this CPU's partial slabs -> the node's
 *           -> other nodes' -> a new slab
 *   free    into this CPU's slab: its free list.  Else into the slab's own list, by one compare-exchange; a slab that
 *           was full goes on this CPU's partial list, one that becomes empty may go back to the page allocator.
 *
 * The pair (freelist, tid) of a CPU is touched by that CPU alone, so its compare-exchange is two reads and two writes
 * that no interrupt divides.  Interrupts may come between the read of the pair and its exchange: in explore mode there
 * is a poll point there, as there is one between any two instructions of a real CPU; in the other modes an interrupt comes
 * at the end of an operation, and the poll is left out.
 *
 * Invariants: partial-lists.  Linux: mm/slub.c slab_alloc_node, ___slab_alloc, do_slab_free, __slab_free.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pointer } from "../../memory/units.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import type { PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { type CacheRef, KmemCache, KmemCacheCpu, KmemCacheNode } from "./kmem-cache.ts";
import type { ObjectPaths } from "./object-allocator.ts";
import type { PartialLists } from "./partial-lists.ts";
import { NO_NODE, type SlabPages } from "./slab-pages.ts";
import { headOf, inuseOf, isFrozen, slabWord } from "./slab-word.ts";
import type { SlubDebug } from "./slub-debug.ts";

const cacheField = KmemCache;
const cpuField = KmemCacheCpu;
const nodeField = KmemCacheNode;
const slabField = SlabPage;
const { ZERO, THISNODE } = GfpFlag;
const interruptible = shape.mode === "explore";
/** The exchange of (freelist, tid) looks at the free list alone. */
const noTid = mutant("slub-no-tid");
/** A free into another CPU's slab writes the slab's word plainly. */
const freesPlainly = mutant("slub-free-plain");

export interface SlubParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly perCpu: PerCpu;
  readonly slabs: SlabPages;
  readonly partials: PartialLists;
  readonly debug: SlubDebug;
  /** CPUs that there may ever be. */
  readonly possibleCpus: number;
}

export class Slub implements ObjectPaths {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly perCpu: PerCpu;
  declare private readonly slabs: SlabPages;
  declare private readonly partials: PartialLists;
  declare private readonly debug: SlubDebug;
  /** From one transaction id of a CPU to its next.  Linux: TID_STEP. */
  declare private readonly tidStep: number;

  constructor(parts: SlubParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.locks = parts.locks;
    this.perCpu = parts.perCpu;
    this.slabs = parts.slabs;
    this.partials = parts.partials;
    this.debug = parts.debug;
    this.tidStep = 1 << (32 - Math.clz32(parts.possibleCpus - 1));
  }

  /** An object near this CPU, or from `node`; 0 when there is no memory.  Linux: slab_alloc_node. */
  alloc(cache: CacheRef, gfp: number, node: number): Pointer {
    const { memory } = this;
    if ((gfp & GfpFlag.DIRECT_RECLAIM) !== 0) this.cpu.mightSleep("kmem_cache_alloc");
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    let object = 0;
    for (;;) {
      const tid = memory.read(own + cpuField.tid);
      object = memory.read(own + cpuField.freelist);
      const slab = memory.read(own + cpuField.slab);
      if (object === 0 || !this.isOn(slab, node)) {
        object = this.allocSlow(cache, own, gfp, node);
        break;
      }
      const next = this.slabs.next(cache, object);
      if (this.exchangePair(own, object, tid, next)) break;
    }
    if (object !== 0 && (gfp & ZERO) !== 0) this.zero(cache, object);
    return object;
  }

  /** Not a byte more than the object has: a red zone may follow. */
  private zero(cache: CacheRef, object: Pointer): void {
    const { memory } = this;
    const bytes = memory.read(cache + cacheField.objectSize);
    memory.fill(object, bytes >> 2, 0);
    for (let at = bytes & ~3; at < bytes; at++) memory.writeByte(object * 4 + at, 0);
  }

  /** Linux: kmem_cache_free. */
  free(cache: CacheRef, object: Pointer): void {
    const { memory, slabs } = this;
    const slab = slabs.slabAt(object);
    if (slab !== 0 && memory.read(slab + slabField.cache) === cache)
      this.freeRun(cache, slab, object, object, 1);
    else this.freeElsewhere(cache, slab, object);
  }

  /** An object of another cache, or of none. */
  private freeElsewhere(cache: CacheRef, slab: PageRef, object: Pointer): void {
    const owner = this.debug.ownerOf(cache, slab, object);
    if (owner !== 0) this.freeRun(owner, slab, object, object, 1);
  }

  /**
   * `count` objects, appended to `into`, or none of them: true if there were as many.  Linux: kmem_cache_alloc_bulk.
   */
  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    const { memory, cpu } = this;
    if ((gfp & GfpFlag.DIRECT_RECLAIM) !== 0) cpu.mightSleep("kmem_cache_alloc_bulk");
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    const before = into.length;
    let irqs = cpu.irqSave();
    for (let left = count; left > 0; left--) {
      let object = memory.read(own + cpuField.freelist);
      if (object !== 0) memory.write(own + cpuField.freelist, this.slabs.next(cache, object));
      else {
        // What an interrupted fast path has read is past: objects were taken without it.
        this.nextTid(own);
        cpu.irqRestore(irqs);
        object = this.allocSlow(cache, own, gfp, NO_NODE);
        irqs = cpu.irqSave();
      }
      if (object === 0) break;
      into.push(object);
    }
    this.nextTid(own);
    cpu.irqRestore(irqs);
    if (into.length - before < count) {
      this.freeBulk(cache, into.splice(before));
      return false;
    }
    if ((gfp & ZERO) !== 0) for (let i = before; i < into.length; i++) this.zero(cache, into[i]);
    return true;
  }

  /** Objects of one slab that follow each other are freed by one exchange.  Linux: kmem_cache_free_bulk. */
  freeBulk(cache: CacheRef, objects: readonly Pointer[]): void {
    const { memory, slabs } = this;
    for (let i = 0; i < objects.length; ) {
      const tail = objects[i];
      const slab = slabs.slabAt(tail);
      if (slab === 0 || memory.read(slab + slabField.cache) !== cache) {
        this.freeElsewhere(cache, slab, tail);
        i++;
        continue;
      }
      let head = tail;
      let count = 1;
      while (i + count < objects.length && slabs.slabAt(objects[i + count]) === slab) {
        slabs.setNext(cache, objects[i + count], head);
        head = objects[i + count];
        count++;
      }
      this.freeRun(cache, slab, head, tail, count);
      i += count;
    }
  }

  /** Frees the `count` objects from `head` to `tail`, all of one slab and linked.  Linux: do_slab_free. */
  private freeRun(cache: CacheRef, slab: PageRef, head: Pointer, tail: Pointer, count: number): void {
    const { memory, slabs } = this;
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    for (;;) {
      const tid = memory.read(own + cpuField.tid);
      if (memory.read(own + cpuField.slab) !== slab) {
        this.freeSlow(cache, slab, head, tail, count);
        return;
      }
      const freelist = memory.read(own + cpuField.freelist);
      slabs.setNext(cache, tail, freelist);
      if (this.exchangePair(own, freelist, tid, head)) return;
    }
  }

  /** Gives up this CPU's slab and its partial slabs.  Linux: __flush_cpu_slab, flush_slab, put_partials. */
  flushCpu(cache: CacheRef): void {
    const { memory, cpu } = this;
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    this.dropCpuSlab(cache, own);
    const irqs = cpu.irqSave();
    const partial = memory.read(own + cpuField.partial);
    memory.write(own + cpuField.partial, 0);
    cpu.irqRestore(irqs);
    if (partial !== 0) this.partials.putPartials(cache, partial);
  }

  /** Whether `cpu` has slabs of the cache; a hint.  Linux: has_cpu_slab. */
  hasCpuSlab(cache: CacheRef, cpu: number): boolean {
    const { memory } = this;
    const at = this.perCpu.of(memory.read(cache + cacheField.cpuSlab), cpu);
    return memory.read(at + cpuField.slab) !== 0 || memory.read(at + cpuField.partial) !== 0;
  }

  // ---- alloc ----

  /** (freelist, tid): from, tid -> to, tid + step, unless an interrupt has changed either.  Linux: __update_cpu_freelist_fast. */
  private exchangePair(own: Pointer, from: Pointer, tid: number, to: Pointer): boolean {
    const { memory } = this;
    reached("slub-no-tid");
    if (interruptible) this.cpu.poll();
    if (memory.read(own + cpuField.freelist) !== from) return false;
    if (!noTid && memory.read(own + cpuField.tid) !== tid) return false;
    memory.write(own + cpuField.freelist, to);
    memory.write(own + cpuField.tid, (tid + this.tidStep) | 0);
    return true;
  }

  /** Linux: ___slab_alloc. */
  private allocSlow(cache: CacheRef, own: Pointer, gfp: number, node: number): Pointer {
    // A node without memory has no slabs: any will do.
    const wanted =
      node !== NO_NODE && this.memory.read(cache + cacheField.nodes + node) === 0 ? NO_NODE : node;
    const object = this.fromOwnSlabs(cache, own, wanted);
    if (object !== 0) return object;
    // Half-used slabs elsewhere are better than a new one here only after an easy try for that.
    if (wanted !== NO_NODE && (gfp & THISNODE) === 0) {
      const here = this.fromNewSlab(cache, own, (gfp & ZERO) | Gfp.NOWAIT | THISNODE, wanted);
      if (here !== 0) return here;
    }
    return this.fromNewSlab(cache, own, gfp, wanted);
  }

  /** From this CPU's slab, then from its partial slabs; 0 when it has none left. */
  private fromOwnSlabs(cache: CacheRef, own: Pointer, node: number): Pointer {
    const { memory, cpu } = this;
    for (;;) {
      const slab = memory.read(own + cpuField.slab);
      if (slab !== 0 && !this.isOn(slab, node)) this.dropCpuSlab(cache, own);
      const irqs = cpu.irqSave();
      const object = this.refill(cache, own, node);
      let other = 0;
      if (object === 0 && memory.read(own + cpuField.slab) === 0) {
        other = memory.read(own + cpuField.partial);
        if (other !== 0) memory.write(own + cpuField.partial, memory.read(other + slabField.next));
        if (other !== 0 && this.isOn(other, node)) {
          const first = this.takeList(cache, other);
          if (first === 0) bug(`slab at word ${other}: on a partial list with no free object`);
          memory.write(own + cpuField.slab, other);
          this.loadFreelist(cache, own, first);
          cpu.irqRestore(irqs);
          return first;
        }
      }
      cpu.irqRestore(irqs);
      if (object !== 0) return object;
      if (other !== 0) {
        memory.write(other + slabField.next, 0);
        this.partials.putPartials(cache, other);
      } else if (memory.read(own + cpuField.slab) === 0) return 0;
    }
  }

  /** From this CPU's slab, if it is on `node`: its own list, or what others have freed.  @irqs off */
  private refill(cache: CacheRef, own: Pointer, node: number): Pointer {
    const { memory } = this;
    const slab = memory.read(own + cpuField.slab);
    if (slab === 0 || !this.isOn(slab, node)) return 0;
    const first = memory.read(own + cpuField.freelist) || this.takeList(cache, slab);
    if (first !== 0) this.loadFreelist(cache, own, first);
    else {
      memory.write(own + cpuField.slab, 0);
      this.nextTid(own);
    }
    return first;
  }

  /** From a partial slab of a node, or a new one, which becomes this CPU's. */
  private fromNewSlab(cache: CacheRef, own: Pointer, gfp: number, node: number): Pointer {
    const { memory, slabs, cpu } = this;
    if (this.debug.isOn(cache)) return this.debug.alloc(cache, gfp, node);
    let slab = this.partials.take(cache, gfp, node);
    if (slab === 0) {
      slab = slabs.make(cache, gfp, node);
      if (slab === 0) return 0;
      slabs.countNew(cache, slab);
    }
    const first = this.takeList(cache, slab);
    for (;;) {
      const irqs = cpu.irqSave();
      if (memory.read(own + cpuField.slab) === 0) {
        memory.write(own + cpuField.slab, slab);
        this.loadFreelist(cache, own, first);
        cpu.irqRestore(irqs);
        return first;
      }
      cpu.irqRestore(irqs);
      // An interrupt has found a slab in the meantime.
      this.dropCpuSlab(cache, own);
    }
  }

  /** The rest of a list behind `first`, which is given out, becomes this CPU's.  @irqs off */
  private loadFreelist(cache: CacheRef, own: Pointer, first: Pointer): void {
    this.memory.write(own + cpuField.freelist, this.slabs.next(cache, first));
    this.nextTid(own);
  }

  private nextTid(own: Pointer): void {
    const at = own + cpuField.tid;
    this.memory.write(at, (this.memory.read(at) + this.tidStep) | 0);
  }

  /** Takes a slab's whole list, and freezes it; 0, and not frozen, when there is none.  Linux: get_freelist, freeze_slab. */
  private takeList(cache: CacheRef, slab: PageRef): Pointer {
    const { memory } = this;
    const all = memory.read(slab + slabField.objects);
    for (;;) {
      const word = memory.load(slab + slabField.counters);
      const head = headOf(word);
      const after = slabWord(0, all, head !== 0);
      if (memory.cas(slab + slabField.counters, word, after) === word)
        return this.slabs.objectAt(cache, slab, head);
    }
  }

  /** Gives up this CPU's slab, if it has one.  Linux: flush_slab. */
  private dropCpuSlab(cache: CacheRef, own: Pointer): void {
    const { memory, cpu } = this;
    const irqs = cpu.irqSave();
    const slab = memory.read(own + cpuField.slab);
    const freelist = memory.read(own + cpuField.freelist);
    memory.write(own + cpuField.slab, 0);
    memory.write(own + cpuField.freelist, 0);
    this.nextTid(own);
    cpu.irqRestore(irqs);
    if (slab !== 0) this.partials.deactivate(cache, slab, freelist);
  }

  private isOn(slab: PageRef, node: number): boolean {
    return node === NO_NODE || this.slabs.frames.nodeOf(slab) === node;
  }

  // ---- free ----

  /** Into the slab's own list, by any CPU.  Linux: __slab_free.  @takes list_lock when the slab becomes empty */
  private freeSlow(cache: CacheRef, slab: PageRef, first: Pointer, tail: Pointer, count: number): void {
    const { memory, locks, slabs, partials } = this;
    if (this.debug.isOn(cache)) {
      this.debug.free(cache, slab, first, tail, count);
      return;
    }
    const at = slab + slabField.counters;
    const head = slabs.headFor(cache, slab, first);
    const node = slabs.nodeOf(cache, slab);
    for (;;) {
      const word = memory.load(at);
      const prior = headOf(word);
      const inuse = inuseOf(word) - count;
      if (inuse < 0) bug(`free of ${count} from word ${first} on: ${inuse + count} of its slab are in use`);
      slabs.setNext(cache, tail, slabs.objectAt(cache, slab, prior));
      const after = slabWord(head, inuse, isFrozen(word));
      if (inuse !== 0 || prior === 0 || isFrozen(word)) {
        if (!this.putWord(at, word, after)) continue;
        // Nobody else knows of a slab that was full: it is this CPU's to put somewhere.
        if (prior === 0 && !isFrozen(word)) partials.putCpuPartial(cache, slab, true);
        return;
      }
      // It becomes empty.  The lock comes first, so that nobody takes it from the list between the exchange and here.
      const irqs = locks.lockIrqSave(node + nodeField.listLock);
      const isListed = memory.read(slab + slabField.onNodeList) !== 0;
      const isDone = this.putWord(at, word, after);
      const isSpare =
        isDone &&
        isListed &&
        memory.read(node + nodeField.nrPartial) >= memory.read(cache + cacheField.minPartial);
      if (isSpare) partials.remove(node, slab);
      locks.unlockIrqRestore(node + nodeField.listLock, irqs);
      if (isSpare) slabs.discard(cache, slab);
      if (isDone) return;
    }
  }

  private putWord(at: Pointer, expected: number, replacement: number): boolean {
    reached("slub-free-plain");
    if (!freesPlainly) return this.memory.cas(at, expected, replacement) === expected;
    this.memory.store(at, replacement);
    return true;
  }
}
