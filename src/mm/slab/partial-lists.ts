/**
 * Slabs of which some objects are free: on a node's list, or on a CPU's.
 *
 * Invariants, at rest (check-slabs tests them)
 *   U1  the objects of a slab that are not in use are in exactly one list each: the slab's own, or the CPU's whose slab it is
 *   U2  no object is in two free lists, or twice in one
 *   U3  a frozen slab is exactly one CPU's and on no list
 *   U4  a slab that is not frozen and has free objects is on exactly one list; a full one on none; `onNodeList` says so
 *   U5  nrPartial is the length of the node's list, `slabs` that of a CPU's
 *   U6  nrSlabs and totalObjects are what there is
 *
 * A CPU's list belongs to that CPU, with interrupts off; a node's to its list_lock.
 * Lock order: slab_mutex, list_lock, then those of the page allocator.
 * Linux: mm/slub.c get_partial, put_cpu_partial, __put_partials, deactivate_slab.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import { listAdd, listAddTail, listDel } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import type { Pointer } from "../../memory/units.ts";
import type { PerCpu } from "../../sync/percpu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { GfpFlag, gfpZone } from "../pages/gfp.ts";
import { Node, ZONELIST_ENTRY_WORDS, ZonelistEntry } from "../pages/node.ts";
import { PAGE_LINKS, type PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { Zone } from "../pages/zone.ts";
import { type CacheRef, KmemCache, KmemCacheCpu, KmemCacheNode } from "./kmem-cache.ts";
import { NO_NODE } from "./slab-backing.ts";
import type { SlabPages } from "./slab-pages.ts";
import { FROZEN, headOf, inuseOf, slabWord } from "./slab-word.ts";

const cacheField = KmemCache;
const cpuField = KmemCacheCpu;
const nodeField = KmemCacheNode;
const slabField = SlabPage;
/** A slab that its CPU gives up stays frozen. */
const staysFrozen = mutant("slub-stays-frozen");
/** A node's list is taken from without its lock. */
const takesUnlocked = mutant("slub-partial-unlocked");

/** Takes a single object of a slab of a node's list, where a whole slab is not to be had: slub-debug. */
export interface SingleTaker {
  takeSingle(cache: CacheRef, node: Pointer): Pointer;
}

export interface PartialParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly perCpu: PerCpu;
  readonly slabs: SlabPages;
  readonly localNode: number;
}

export class PartialLists {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly perCpu: PerCpu;
  declare private readonly slabs: SlabPages;
  declare private readonly localNode: number;

  constructor(parts: PartialParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.locks = parts.locks;
    this.perCpu = parts.perCpu;
    this.slabs = parts.slabs;
    this.localNode = parts.localNode;
  }

  // ---- a node's list ----

  /** @holds list_lock */
  add(node: Pointer, slab: PageRef, toTail: boolean): void {
    const { memory } = this;
    if (toTail) listAddTail(memory, slab + PAGE_LINKS, node + nodeField.partial);
    else listAdd(memory, slab + PAGE_LINKS, node + nodeField.partial);
    memory.write(slab + slabField.onNodeList, 1);
    memory.write(node + nodeField.nrPartial, memory.read(node + nodeField.nrPartial) + 1);
  }

  /** @holds list_lock */
  remove(node: Pointer, slab: PageRef): void {
    const { memory } = this;
    listDel(memory, slab + PAGE_LINKS);
    memory.write(slab + slabField.onNodeList, 0);
    memory.write(node + nodeField.nrPartial, memory.read(node + nodeField.nrPartial) - 1);
  }

  /**
   * A slab with free objects, for this CPU alone: from `node`, else, unless the caller insists on that node, from the
   * nearest with more than it should keep; 0 when there is none.  With `single`, an object of such a slab.
   * Linux: get_partial.
   */
  take(cache: CacheRef, gfp: number, node: number, single: SingleTaker | null = null): PageRef {
    const wanted = node === NO_NODE ? this.localNode : node;
    const slab = this.takeFrom(cache, this.memory.read(cache + cacheField.nodes + wanted), single);
    if (slab !== 0 || (node !== NO_NODE && (gfp & GfpFlag.THISNODE) !== 0)) return slab;
    return this.takeAnywhere(cache, gfp, single);
  }

  /** Linux: get_partial_node.  @takes list_lock */
  private takeFrom(cache: CacheRef, node: Pointer, single: SingleTaker | null): PageRef {
    const { memory, locks, cpu } = this;
    if (node === 0 || memory.read(node + nodeField.nrPartial) === 0) return 0;
    if (single !== null) return single.takeSingle(cache, node);
    const cpuSlabs = memory.read(cache + cacheField.cpuPartialSlabs);
    const enough = cpuSlabs === 0 ? -1 : cpuSlabs / 2;
    const head = node + nodeField.partial;
    let taken = 0;
    reached("slub-partial-unlocked");
    const irqs = takesUnlocked ? cpu.irqSave() : locks.lockIrqSave(node + nodeField.listLock);
    // More than one is taken for the CPU's own list, so that it need not come again soon.
    for (let spare = 0; spare <= enough || taken === 0; ) {
      const link = memory.read(head);
      if (link === head) break;
      const slab = link - PAGE_LINKS;
      this.remove(node, slab);
      if (taken === 0) taken = slab;
      else {
        this.putCpuPartial(cache, slab, false);
        spare++;
      }
    }
    if (takesUnlocked) cpu.irqRestore(irqs);
    else locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    return taken;
  }

  /** Linux: get_any_partial. */
  private takeAnywhere(cache: CacheRef, gfp: number, single: SingleTaker | null): PageRef {
    const { memory, slabs } = this;
    const { frames } = slabs;
    if (frames.nodeCount === 1) return 0;
    if (this.cpu.random.below(1024) > memory.read(cache + cacheField.remoteRatio)) return 0;
    const highest = gfpZone(gfp);
    let entry = frames.nodeAt(this.localNode) + Node.fallback;
    for (; memory.read(entry + ZonelistEntry.zone) !== 0; entry += ZONELIST_ENTRY_WORDS) {
      if (memory.read(entry + ZonelistEntry.zoneIndex) > highest) continue;
      const nid = memory.read(memory.read(entry + ZonelistEntry.zone) + Zone.node);
      const node = memory.read(cache + cacheField.nodes + nid);
      const isRich =
        node !== 0 && memory.read(node + nodeField.nrPartial) > memory.read(cache + cacheField.minPartial);
      const slab = isRich ? this.takeFrom(cache, node, single) : 0;
      if (slab !== 0) return slab;
    }
    return 0;
  }

  // ---- this CPU's list ----

  /**
   * Puts a slab that has become partial, and is nobody else's, on this CPU's list.  With `drain`, a list that is full
   * goes to the nodes first.  Linux: put_cpu_partial.
   */
  putCpuPartial(cache: CacheRef, slab: PageRef, drain: boolean): void {
    const { memory, cpu } = this;
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    const irqs = cpu.irqSave();
    let old = memory.read(own + cpuField.partial);
    let full = 0;
    let count = old === 0 ? 0 : memory.read(old + slabField.slabs);
    if (drain && old !== 0 && count >= memory.read(cache + cacheField.cpuPartialSlabs)) {
      full = old;
      old = 0;
      count = 0;
    }
    memory.write(slab + slabField.slabs, count + 1);
    memory.write(slab + slabField.next, old);
    memory.write(own + cpuField.partial, slab);
    cpu.irqRestore(irqs);
    if (full !== 0) this.putPartials(cache, full);
  }

  /** Moves slabs linked by `next` to their nodes; empty ones beyond what a node keeps are given back.  Linux: __put_partials. */
  putPartials(cache: CacheRef, first: PageRef): void {
    const { memory, locks, slabs } = this;
    const minPartial = memory.read(cache + cacheField.minPartial);
    let discarded = 0;
    for (let slab = first; slab !== 0; ) {
      const next = memory.read(slab + slabField.next);
      const node = slabs.nodeOf(cache, slab);
      const irqs = locks.lockIrqSave(node + nodeField.listLock);
      const isEmpty = inuseOf(memory.load(slab + slabField.counters)) === 0;
      if (isEmpty && memory.read(node + nodeField.nrPartial) >= minPartial) {
        memory.write(slab + slabField.next, discarded);
        discarded = slab;
      } else this.add(node, slab, true);
      locks.unlockIrqRestore(node + nodeField.listLock, irqs);
      slab = next;
    }
    while (discarded !== 0) {
      const next = memory.read(discarded + slabField.next);
      slabs.discard(cache, discarded);
      discarded = next;
    }
  }

  /**
   * Gives up the slab that this CPU allocated from, with the free objects from `freelist` on that were its own.
   * Linux: deactivate_slab.
   */
  deactivate(cache: CacheRef, slab: PageRef, freelist: Pointer): void {
    const { memory, locks, slabs } = this;
    let own = 0;
    let tail = 0;
    const limit = memory.read(slab + slabField.objects);
    for (let object = freelist; object !== 0; object = slabs.next(cache, object)) {
      if (++own > limit) bug(`slab of frame ${slabs.frames.pfnOf(slab)}: a CPU's free list runs in a circle`);
      tail = object;
    }
    const head = own === 0 ? 0 : slabs.headFor(cache, slab, freelist);
    // What others have freed meanwhile makes it a slab to use last: more may come.
    const toTail = headOf(memory.load(slab + slabField.counters)) !== 0;
    let inuse = 0;
    let rest = 0;
    for (;;) {
      const word = memory.load(slab + slabField.counters);
      const theirs = headOf(word);
      inuse = inuseOf(word) - own;
      rest = own === 0 ? theirs : head;
      if (own !== 0) slabs.setNext(cache, tail, slabs.objectAt(cache, slab, theirs));
      reached("slub-stays-frozen");
      const after = slabWord(rest, inuse, staysFrozen);
      if ((word & FROZEN) === 0) bug(`slab of frame ${slabs.frames.pfnOf(slab)} of a CPU is not frozen`);
      if (memory.cas(slab + slabField.counters, word, after) === word) break;
    }
    const node = slabs.nodeOf(cache, slab);
    if (
      inuse === 0 &&
      memory.read(node + nodeField.nrPartial) >= memory.read(cache + cacheField.minPartial)
    ) {
      slabs.discard(cache, slab);
    } else if (rest !== 0) {
      const irqs = locks.lockIrqSave(node + nodeField.listLock);
      this.add(node, slab, toTail);
      locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    }
  }
}
