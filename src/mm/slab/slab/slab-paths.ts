/**
 * SLAB as one CPU runs it: objects from and to this CPU's array, with interrupts off and no lock, and a batch at a time
 * between the array and the node.
 *
 *   alloc   this CPU's array -> a batch from the node's shared array, else from its partial, then free slabs -> a new slab
 *           -> other nodes' slabs -> a new slab anywhere
 *   free    this CPU's array; a full one gives its oldest batch to the shared array, or to the slabs.  Another node's
 *           object goes to this node's alien array for that node, and from there, when that is full, home all at once.
 *
 * Invariants: node-slabs.
 * Linux 6.7: mm/slab.c ____cache_alloc, cache_alloc_refill, ____cache_alloc_node, fallback_alloc, cache_grow_begin,
 * ___cache_free, cache_flusharray, __cache_free_alien, kmem_cache_alloc_bulk.  Differs: no memory policies, no pfmemalloc.
 */

import type { Cpu } from "../../../hardware/cpu.ts";
import { bug } from "../../../memory/bug.ts";
import type { Memory } from "../../../memory/memory.ts";
import { mutant, reached } from "../../../memory/mutants.ts";
import { shape } from "../../../memory/shape.ts";
import type { Pointer } from "../../../memory/units.ts";
import { Work } from "../../../memory/work.ts";
import type { PerCpu } from "../../../sync/percpu.ts";
import type { SpinLocks } from "../../../sync/spinlock.ts";
import { Gfp, GfpFlag, gfpZone } from "../../pages/gfp.ts";
import { Node, ZONELIST_ENTRY_WORDS, ZonelistEntry } from "../../pages/node.ts";
import type { PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import { Zone } from "../../pages/zone.ts";
import type { CacheRef } from "../kmem-cache.ts";
import type { ObjectPaths } from "../object-allocator.ts";
import { NO_NODE, PASSED, SlabBacking } from "../slab-backing.ts";
import type { AllocatorParts } from "../slab-parts.ts";
import { NodeSlabs } from "./node-slabs.ts";
import { SlabObjects } from "./slab-objects.ts";
import { AlienCache, ArrayCache, ENTRIES, Placement, SlabCache, SlabNode } from "./structures.ts";

const alienField = AlienCache;
const arrayField = ArrayCache;
const cacheField = SlabCache;
const nodeField = SlabNode;
const slabField = SlabPage;
const F = GfpFlag;
const { checks } = shape;
const interruptible = shape.mode === "explore";
/** A refill of an array that was not in use takes so many.  Linux: BATCHREFILL_LIMIT. */
const REFILL_IDLE = 16;
/** A CPU takes from its array with interrupts on. */
const irqsOn = mutant("slab-irqs-on");
/** A batch comes from the node without list_lock. */
const refillUnlocked = mutant("slab-refill-unlocked");
/** An object goes into an alien array without its lock. */
const alienUnlocked = mutant("slab-alien-unlocked");
/** A full array gives its batch to the node without list_lock. */
const flushUnlocked = mutant("slab-flush-unlocked");

/** On `node` itself, without reclaim.  Linux: gfp_exact_node. */
const exactly = (gfp: number): number => (gfp | F.THISNODE | F.NOWARN) & ~(Gfp.RECLAIM | F.NOFAIL);

export class SlabPaths implements ObjectPaths {
  declare readonly nodeSlabs: NodeSlabs;
  /** The node of this CPU's memory: its own, or the nearest that has some.  Linux: numa_mem_id. */
  declare readonly memoryNode: number;
  /** After a refill by a caller that may sleep: it is time for the reaper. */
  declare private readonly reapIfDue: () => void;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly perCpu: PerCpu;
  declare private readonly backing: SlabBacking;
  declare private readonly slabs: SlabObjects;
  declare private readonly isNuma: boolean;

  constructor(parts: AllocatorParts, reapIfDue: () => void) {
    this.reapIfDue = reapIfDue;
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.locks = parts.locks;
    this.perCpu = parts.perCpu;
    this.backing = new SlabBacking(parts);
    this.slabs = new SlabObjects(this.backing, parts.functions);
    this.nodeSlabs = new NodeSlabs(this.backing, this.slabs, parts.locks, (cache, object) =>
      this.free(cache, object),
    );
    this.isNuma = parts.nodes.length > 1;
    this.memoryNode = parts.nodes.includes(parts.localNode) ? parts.localNode : this.nearest(parts.localNode);
  }

  alloc(cache: CacheRef, gfp: number, node: number): Pointer {
    const { memory, cpu } = this;
    if ((gfp & F.DIRECT_RECLAIM) !== 0) cpu.mightSleep("kmem_cache_alloc");
    reached("slab-irqs-on");
    const irqs = irqsOn ? 1 : this.irqSave();
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    const avail = memory.read(own + arrayField.avail);
    const isHere = avail > 0 && (node === NO_NODE || node === this.memoryNode);
    const object = isHere ? this.pop(own, avail) : this.allocSlow(cache, gfp, node);
    cpu.irqRestore(irqs);
    if (!isHere && (gfp & F.DIRECT_RECLAIM) !== 0) this.reapIfDue();
    if (object !== 0 && (gfp & F.ZERO) !== 0) this.zero(cache, object);
    return object;
  }

  free(cache: CacheRef, object: Pointer): void {
    const irqs = this.irqSave();
    this.freeHere(cache, object);
    this.cpu.irqRestore(irqs);
  }

  allocBulk(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    const { cpu } = this;
    if ((gfp & F.DIRECT_RECLAIM) !== 0) cpu.mightSleep("kmem_cache_alloc_bulk");
    const before = into.length;
    const irqs = this.irqSave();
    for (let left = count; left > 0; left--) {
      const object = this.allocHere(cache, gfp);
      if (object === 0) break;
      into.push(object);
    }
    cpu.irqRestore(irqs);
    if (into.length - before < count) {
      this.freeBulk(cache, into.splice(before));
      return false;
    }
    if ((gfp & F.ZERO) !== 0) for (let i = before; i < into.length; i++) this.zero(cache, into[i]);
    return true;
  }

  freeBulk(cache: CacheRef, objects: readonly Pointer[]): void {
    const irqs = this.irqSave();
    for (const object of objects) this.freeHere(cache, object);
    this.cpu.irqRestore(irqs);
  }

  private irqSave(): number {
    this.memory.work(Work.IRQ_SAVE, 1);
    return this.cpu.irqSave();
  }

  // ---- alloc ----

  /** @irqs off */
  private allocHere(cache: CacheRef, gfp: number): Pointer {
    const own = this.perCpu.here(this.memory.read(cache + cacheField.cpuSlab));
    const avail = this.memory.read(own + arrayField.avail);
    return avail > 0 ? this.pop(own, avail) : this.allocSlow(cache, gfp, NO_NODE);
  }

  private pop(array: Pointer, avail: number): Pointer {
    const { memory } = this;
    // Between any two instructions an interrupt may come, where they are on.
    if (interruptible) this.cpu.poll();
    memory.write(array + arrayField.touched, 1);
    memory.write(array + arrayField.avail, avail - 1);
    return memory.read(array + ENTRIES + avail - 1);
  }

  /** @irqs off */
  private allocSlow(cache: CacheRef, gfp: number, node: number): Pointer {
    const wanted = node === NO_NODE ? this.memoryNode : node;
    if (this.nodeSlabs.nodeOf(cache, wanted) === 0) return this.fallback(cache, gfp);
    const object = wanted === this.memoryNode ? this.refill(cache, gfp) : 0;
    return object || this.allocOnNode(cache, gfp, wanted);
  }

  /** Fills this CPU's array, which is empty, and takes one; 0 when its node has no memory.  @irqs off */
  private refill(cache: CacheRef, gfp: number): Pointer {
    const { memory, nodeSlabs } = this;
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    const all = memory.read(own + arrayField.batchCount);
    const batch = memory.read(own + arrayField.touched) === 0 ? Math.min(all, REFILL_IDLE) : all;
    const node = nodeSlabs.nodeOf(cache, this.memoryNode);
    const left = this.takeBatch(cache, node, own, batch);
    if (memory.read(own + arrayField.avail) === 0) {
      const slab = this.grow(cache, exactly(gfp), this.memoryNode);
      if (slab !== 0) {
        // Interrupts may have been on, and have filled the array meanwhile.
        if (memory.read(own + arrayField.avail) === 0) this.takeFrom(cache, own, slab, left);
        nodeSlabs.addNew(cache, slab);
      }
    }
    const avail = memory.read(own + arrayField.avail);
    return avail === 0 ? 0 : this.pop(own, avail);
  }

  /** From the shared array, else from slabs; how many are still wanted.  @takes list_lock   @irqs off */
  private takeBatch(cache: CacheRef, node: Pointer, own: Pointer, batch: number): number {
    const { memory, locks, nodeSlabs } = this;
    const shared = memory.read(node + nodeField.shared);
    const hasShared = shared !== 0 && memory.read(shared + arrayField.avail) > 0;
    if (memory.read(node + nodeField.freeObjects) === 0 && !hasShared) return batch;
    reached("slab-refill-unlocked");
    if (!refillUnlocked) locks.lock(node + nodeField.listLock);
    if (shared !== 0 && nodeSlabs.transfer(own, shared, batch) > 0) {
      memory.write(shared + arrayField.touched, 1);
      if (!refillUnlocked) locks.unlock(node + nodeField.listLock);
      return 0;
    }
    let left = batch;
    while (left > 0) {
      const slab = nodeSlabs.first(node);
      if (slab === 0) break;
      left = this.takeFrom(cache, own, slab, left);
      nodeSlabs.placeAgain(cache, node, slab);
    }
    const at = node + nodeField.freeObjects;
    memory.write(at, memory.read(at) - memory.read(own + arrayField.avail));
    if (!refillUnlocked) locks.unlock(node + nodeField.listLock);
    return left;
  }

  /** Up to `count` objects of a slab into an array; how many are still wanted.  Linux: alloc_block.  @holds list_lock */
  private takeFrom(cache: CacheRef, array: Pointer, slab: PageRef, count: number): number {
    const { memory } = this;
    const objects = memory.read(slab + slabField.objects);
    let avail = memory.read(array + arrayField.avail);
    let left = count;
    for (; left > 0 && memory.read(slab + slabField.active) < objects; left--)
      memory.write(array + ENTRIES + avail++, this.slabs.get(cache, slab));
    memory.write(array + arrayField.avail, avail);
    return left;
  }

  /** One object of a node's slabs or of a new one there, past all arrays; else of any node.  @takes list_lock   @irqs off */
  private allocOnNode(cache: CacheRef, gfp: number, nid: number): Pointer {
    const { memory, locks, nodeSlabs } = this;
    const node = nodeSlabs.nodeOf(cache, nid);
    locks.lock(node + nodeField.listLock);
    const slab = nodeSlabs.first(node);
    if (slab !== 0) {
      const object = this.slabs.get(cache, slab);
      const at = node + nodeField.freeObjects;
      memory.write(at, memory.read(at) - 1);
      nodeSlabs.placeAgain(cache, node, slab);
      locks.unlock(node + nodeField.listLock);
      return object;
    }
    locks.unlock(node + nodeField.listLock);
    const made = this.grow(cache, exactly(gfp), nid);
    if (made === 0) return this.fallback(cache, gfp);
    const object = this.slabs.get(cache, made);
    nodeSlabs.addNew(cache, made);
    return object;
  }

  /** From the slabs of any node, nearest first, else from a new one anywhere.  Linux: fallback_alloc.  @irqs off */
  private fallback(cache: CacheRef, gfp: number): Pointer {
    if ((gfp & F.THISNODE) !== 0) return 0;
    for (;;) {
      const found = this.fromAnyNode(cache, gfp);
      if (found !== 0) return found;
      const slab = this.grow(cache, gfp, this.memoryNode);
      if (slab === 0) return 0;
      this.nodeSlabs.addNew(cache, slab);
      const object = this.allocOnNode(cache, exactly(gfp), this.backing.frames.nodeOf(slab));
      // Another CPU may have taken them all: no lock was held.
      if (object !== 0) return object;
    }
  }

  private fromAnyNode(cache: CacheRef, gfp: number): Pointer {
    const { memory } = this;
    const highest = gfpZone(gfp);
    let entry = this.backing.frames.nodeAt(this.memoryNode) + Node.fallback;
    for (; memory.read(entry + ZonelistEntry.zone) !== 0; entry += ZONELIST_ENTRY_WORDS) {
      if (memory.read(entry + ZonelistEntry.zoneIndex) > highest) continue;
      const nid = memory.read(memory.read(entry + ZonelistEntry.zone) + Zone.node);
      const node = this.nodeSlabs.nodeOf(cache, nid);
      if (node === 0 || memory.read(node + nodeField.freeObjects) === 0) continue;
      const object = this.allocOnNode(cache, exactly(gfp), nid);
      if (object !== 0) return object;
    }
    return 0;
  }

  /** A new slab that nobody else knows of, or 0; interrupts are on meanwhile if the caller may sleep.  Linux: cache_grow_begin. */
  private grow(cache: CacheRef, gfp: number, nid: number): PageRef {
    const { memory, cpu } = this;
    const local = gfp & PASSED;
    const maySleep = (local & F.DIRECT_RECLAIM) !== 0;
    if (maySleep) cpu.irqEnable();
    const slab = this.makeSlab(cache, local, nid);
    if (maySleep) cpu.irqDisable();
    if (checks && slab !== 0 && memory.read(slab + slabField.cache) !== cache)
      bug(`new slab ${slab} belongs to word ${memory.read(slab + slabField.cache)}`);
    return slab;
  }

  private makeSlab(cache: CacheRef, gfp: number, nid: number): PageRef {
    const { memory, backing, nodeSlabs } = this;
    const flags = memory.read(cache + cacheField.flags);
    const slab = backing.take(cache, gfp, memory.read(cache + cacheField.order), nid);
    if (slab === 0) return 0;
    const at = backing.frames.nodeOf(slab);
    const colours = memory.read(cache + cacheField.colour);
    const node = nodeSlabs.nodeOf(cache, at);
    // No lock: two slabs of one colour do no harm.
    const next = memory.load(node + nodeField.colourNext) + 1;
    const colour = next >= colours ? 0 : next;
    memory.store(node + nodeField.colourNext, colour);
    let freelist = 0;
    if ((flags & Placement.OFF_SLAB) !== 0) {
      const free = gfp & ~(F.THISNODE | F.HARDWALL);
      freelist = this.alloc(memory.read(cache + cacheField.freelistCache), free, at);
      if (freelist === 0) {
        backing.give(slab);
        return 0;
      }
    }
    this.slabs.format(cache, slab, colour * memory.read(cache + cacheField.colourOff), freelist);
    return slab;
  }

  // ---- free ----

  /** Linux: ___cache_free.  @irqs off */
  private freeHere(cache: CacheRef, object: Pointer): void {
    const { memory } = this;
    if (checks) this.checkCache(cache, object);
    if (this.isNuma) {
      const home = this.backing.frames.nodeOf(this.backing.slabOf(object));
      if (home !== this.memoryNode) {
        this.freeAlien(cache, object, home);
        return;
      }
    }
    const own = this.perCpu.here(memory.read(cache + cacheField.cpuSlab));
    if (memory.read(own + arrayField.avail) >= memory.read(own + arrayField.limit)) this.flush(cache, own);
    this.push(own, object);
  }

  private push(array: Pointer, object: Pointer): void {
    const { memory } = this;
    const avail = memory.read(array + arrayField.avail);
    memory.write(array + ENTRIES + avail, object);
    memory.write(array + arrayField.avail, avail + 1);
  }

  /** The oldest batch of this CPU's array goes to the shared array, or to the slabs.  Linux: cache_flusharray.  @takes list_lock */
  private flush(cache: CacheRef, own: Pointer): void {
    const { memory, locks, nodeSlabs } = this;
    const node = nodeSlabs.nodeOf(cache, this.memoryNode);
    const dying: PageRef[] = [];
    let count = memory.read(own + arrayField.batchCount);
    reached("slab-flush-unlocked");
    if (!flushUnlocked) locks.lock(node + nodeField.listLock);
    const shared = memory.read(node + nodeField.shared);
    const at = shared === 0 ? 0 : memory.read(shared + arrayField.avail);
    const room = shared === 0 ? 0 : memory.read(shared + arrayField.limit) - at;
    if (room > 0) {
      count = Math.min(count, room);
      memory.copy(shared + ENTRIES + at, own + ENTRIES, count);
      memory.write(shared + arrayField.avail, at + count);
    } else nodeSlabs.freeBlock(cache, node, own + ENTRIES, count, dying);
    if (!flushUnlocked) locks.unlock(node + nodeField.listLock);
    nodeSlabs.dropOldest(own, count);
    nodeSlabs.destroySlabs(cache, dying);
  }

  /** Linux: __cache_free_alien.  @takes alien_cache.lock   @irqs off */
  private freeAlien(cache: CacheRef, object: Pointer, home: number): void {
    const { memory, locks, nodeSlabs } = this;
    const table = memory.read(nodeSlabs.nodeOf(cache, this.memoryNode) + nodeField.alien);
    const alien = table === 0 ? 0 : memory.read(table + home);
    const dying: PageRef[] = [];
    if (alien === 0) {
      nodeSlabs.freeStraight(cache, home, object, dying);
    } else {
      const array = alien + alienField.array;
      reached("slab-alien-unlocked");
      if (!alienUnlocked) locks.lock(alien + alienField.lock);
      if (memory.read(array + arrayField.avail) === memory.read(array + arrayField.limit))
        nodeSlabs.sendHome(cache, array, home, dying);
      this.push(array, object);
      if (!alienUnlocked) locks.unlock(alien + alienField.lock);
    }
    nodeSlabs.destroySlabs(cache, dying);
  }

  // ---- the rest ----

  private zero(cache: CacheRef, object: Pointer): void {
    const { memory } = this;
    memory.fill(object, (memory.read(cache + cacheField.objectSize) + 3) >> 2, 0);
  }

  private nearest(localNode: number): number {
    const { memory } = this;
    const entry = this.backing.frames.nodeAt(localNode) + Node.fallback;
    return memory.read(memory.read(entry + ZonelistEntry.zone) + Zone.node);
  }

  private checkCache(cache: CacheRef, object: Pointer): void {
    const slab = this.backing.slabOf(object);
    const other = this.memory.read(slab + slabField.cache);
    if (other !== cache)
      bug(`free of word ${object} to the cache at word ${cache}: it belongs to the one at word ${other}`);
    this.slabs.indexOf(cache, slab, object);
  }
}
