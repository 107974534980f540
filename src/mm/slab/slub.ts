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
import { StackFrame } from "../../hardware/stack-frames.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pointer } from "../../memory/units.ts";
import { Work } from "../../memory/work.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import type { PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { type CacheRef, KmemCache, KmemCacheCpu, KmemCacheNode } from "./kmem-cache.ts";
import type { ObjectPaths } from "./object-allocator.ts";
import type { PartialLists } from "./partial-lists.ts";
import { NO_NODE } from "./slab-backing.ts";
import type { SlabPages } from "./slab-pages.ts";
import { headOf, inuseOf, isFrozen, slabWord } from "./slab-word.ts";
import { SlubBulk } from "./slub-bulk.ts";
import type { SlubDebug } from "./slub-debug.ts";

const cacheField = KmemCache;
const cpuField = KmemCacheCpu;
const nodeField = KmemCacheNode;
const slabField = SlabPage;
const { ZERO, THISNODE, DIRECT_RECLAIM } = GfpFlag;
const ANY_NODE = NO_NODE;
const checks = shape.checks;
const interruptible = shape.mode === "explore";
/** In parallel mode interrupts come at ends of operations only, so that the exchange of a CPU's pair cannot fail. */
const comparesPair = shape.mode !== "parallel";
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
  /** An object near this CPU, or from `node`; 0 when there is no memory.  Linux: slab_alloc_node. */
  declare readonly alloc: (cache: CacheRef, gfp: number, node: number) => Pointer;
  /** Linux: kmem_cache_free. */
  declare readonly free: (cache: CacheRef, object: Pointer) => void;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly perCpu: PerCpu;
  declare private readonly slabs: SlabPages;
  declare private readonly partials: PartialLists;
  declare private readonly debug: SlubDebug;
  declare private readonly bulk: SlubBulk;
  /** From a per-CPU pointer to this CPU's instance: a constant to V8, where PerCpu's is a field. */
  declare private readonly toOwnUnit: number;
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
    this.bulk = new SlubBulk(parts.cpu, parts.slabs, this);
    // Closures over this CPU's allocator: V8 takes it, and what hangs on it, for constants.  See docs/decisions/006.
    this.alloc = (cache, gfp, node) => this.take(cache, gfp, node);
    this.free = (cache, object) => this.put(cache, object);
    this.toOwnUnit = parts.perCpu.here(0);
    this.tidStep = 1 << (32 - Math.clz32(parts.possibleCpus - 1));
  }

  private take(cache: CacheRef, gfp: number, node: number): Pointer {
    const { memory } = this;
    if ((gfp & DIRECT_RECLAIM) !== 0) this.cpu.mightSleep("kmem_cache_alloc");
    const own = memory.read(cache + cacheField.cpuSlab) + this.toOwnUnit;
    const tid = memory.read(own + cpuField.tid);
    const object = memory.read(own + cpuField.freelist);
    if (object === 0 || (node !== ANY_NODE && !this.isOn(memory.read(own + cpuField.slab), node)))
      return this.takeSlow(cache, own, gfp, node);
    const next = this.slabs.next(cache, object);
    if (comparesPair && !this.pairIs(own, object, tid)) return this.take(cache, gfp, node);
    this.setPair(own, next, tid);
    if ((gfp & ZERO) !== 0) this.zero(cache, object);
    return object;
  }

  private takeSlow(cache: CacheRef, own: Pointer, gfp: number, node: number): Pointer {
    if (checks) this.cpu.stack.enter(StackFrame.SLAB_ALLOC);
    const object = this.allocSlow(cache, own, gfp, node);
    if (checks) this.cpu.stack.leave(StackFrame.SLAB_ALLOC);
    if (object !== 0 && (gfp & ZERO) !== 0) this.zero(cache, object);
    return object;
  }

  /** Not a byte more than the object has: a red zone may follow. */
  zero(cache: CacheRef, object: Pointer): void {
    const { memory } = this;
    const bytes = memory.read(cache + cacheField.objectSize);
    memory.fill(object, bytes >> 2, 0);
    for (let at = bytes & ~3; at < bytes; at++) memory.writeByte(object * 4 + at, 0);
  }

  private put(cache: CacheRef, object: Pointer): void {
    const { memory, slabs } = this;
    const slab = slabs.slabAt(object);
    if (slab === 0 || memory.read(slab + slabField.cache) !== cache)
      return this.freeElsewhere(cache, slab, object);
    const own = memory.read(cache + cacheField.cpuSlab) + this.toOwnUnit;
    const tid = memory.read(own + cpuField.tid);
    if (memory.read(own + cpuField.slab) !== slab) return this.freeSlow(cache, slab, object, object, 1);
    const freelist = memory.read(own + cpuField.freelist);
    slabs.setNext(cache, object, freelist);
    if (comparesPair && !this.pairIs(own, freelist, tid)) return this.put(cache, object);
    this.setPair(own, object, tid);
  }

  /** An object of another cache, or of none. */
  freeElsewhere(cache: CacheRef, slab: PageRef, object: Pointer): void {
    const owner = this.debug.ownerOf(cache, slab, object);
    if (owner !== 0) this.freeRun(owner, slab, object, object, 1);
  }

  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    return this.bulk.alloc(cache, gfp, count, into);
  }

  freeBulk(cache: CacheRef, objects: readonly Pointer[]): void {
    this.bulk.free(cache, objects);
  }

  /** This CPU's part of a cache. */
  ownPart(cache: CacheRef): Pointer {
    return this.memory.read(cache + cacheField.cpuSlab) + this.toOwnUnit;
  }

  /** Frees the `count` objects from `head` to `tail`, all of one slab and linked.  Linux: do_slab_free. */
  freeRun(cache: CacheRef, slab: PageRef, head: Pointer, tail: Pointer, count: number): void {
    const { memory, slabs } = this;
    const own = memory.read(cache + cacheField.cpuSlab) + this.toOwnUnit;
    for (;;) {
      const tid = memory.read(own + cpuField.tid);
      if (memory.read(own + cpuField.slab) !== slab) {
        this.freeSlow(cache, slab, head, tail, count);
        return;
      }
      const freelist = memory.read(own + cpuField.freelist);
      slabs.setNext(cache, tail, freelist);
      if (comparesPair && !this.pairIs(own, freelist, tid)) continue;
      this.setPair(own, head, tid);
      return;
    }
  }

  /** Gives up this CPU's slab and its partial slabs.  Linux: __flush_cpu_slab, flush_slab, put_partials. */
  flushCpu(cache: CacheRef): void {
    const { memory, cpu } = this;
    const own = this.ownPart(cache);
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

  /**
   * (freelist, tid): from, tid -> to, tid + step, unless an interrupt has changed either.  Linux:
   * __update_cpu_freelist_fast.  In two steps: the first compares, and is where the interrupt may come.
   */
  private pairIs(own: Pointer, from: Pointer, tid: number): boolean {
    const { memory } = this;
    reached("slub-no-tid");
    memory.work(Work.PAIR_EXCHANGE, 1);
    if (interruptible) this.cpu.poll();
    return (
      memory.read(own + cpuField.freelist) === from && (noTid || memory.read(own + cpuField.tid) === tid)
    );
  }

  private setPair(own: Pointer, to: Pointer, tid: number): void {
    this.memory.write(own + cpuField.freelist, to);
    this.memory.write(own + cpuField.tid, (tid + this.tidStep) | 0);
  }

  /** Linux: ___slab_alloc. */
  allocSlow(cache: CacheRef, own: Pointer, gfp: number, node: number): Pointer {
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
      if (checks) cpu.stack.enter(StackFrame.ALLOCATE_SLAB);
      slab = slabs.make(cache, gfp, node);
      if (checks) cpu.stack.leave(StackFrame.ALLOCATE_SLAB);
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

  nextTid(own: Pointer): void {
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
    return node === ANY_NODE || this.slabs.frames.nodeOf(slab) === node;
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
