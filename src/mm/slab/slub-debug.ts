/**
 * The paths of caches with debugging: no CPU has slabs of them.  Every object comes from a node's list, or a new slab, and
 * goes back to its slab under the node's list_lock, where it is looked at; with STORE_USER full slabs are on a list, too.
 *
 *   slab word, under list_lock:   new  -> first's next, 1, 0 -> ... -> 0, all, 0 (full)       allocation, one at a time
 *                                 h, i, 0 -> object, i - 1, 0                               free
 *                                 h, i, 0 -> 0, all, 1                                      it is damaged: out of use
 *
 * Invariants, at rest (check-slabs tests them)
 *   D1  no slab is a CPU's; one that is frozen is out of use, on no list, with all its objects in use
 *   D2  with STORE_USER a full slab is on its node's list of full ones
 *
 * Linux: mm/slub.c alloc_single_from_partial, alloc_single_from_new_slab, free_to_partial_list,
 * free_debug_processing, alloc_debug_processing, validate_slab_cache.
 */

import { bug } from "../../memory/bug.ts";
import { listAdd, listDel } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { PAGE_LINKS, type PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { readName } from "./cache-record.ts";
import { type CacheRef, KmemCache, KmemCacheNode } from "./kmem-cache.ts";
import { type ObjectBytes, Poison } from "./object-bytes.ts";
import type { PartialLists } from "./partial-lists.ts";
import type { SlabChecks } from "./slab-checks.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "./slab-flags.ts";
import type { SlabPages } from "./slab-pages.ts";
import { hexOf, type SlabReports } from "./slab-report.ts";
import { TrackItem, type Tracks } from "./slab-track.ts";
import { headOf, inuseOf, isFrozen, slabWord } from "./slab-word.ts";

const cacheField = KmemCache;
const slabField = SlabPage;
const nodeField = KmemCacheNode;
/** An object is looked at and freed without the node's lock. */
const freesUnlocked = mutant("slub-debug-unlocked");

export interface DebugParts {
  readonly locks: SpinLocks;
  readonly slabs: SlabPages;
  readonly partials: PartialLists;
  readonly bytes: ObjectBytes;
  readonly tracks: Tracks;
  readonly reports: SlabReports;
  readonly checks: SlabChecks;
}

export class SlubDebug {
  declare private readonly memory: Memory;
  declare private readonly parts: DebugParts;

  constructor(parts: DebugParts) {
    this.memory = parts.bytes.memory;
    this.parts = parts;
  }

  /** Whether the cache goes these ways.  Linux: kmem_cache_debug. */
  isOn(cache: CacheRef): boolean {
    return (this.memory.read(cache + cacheField.flags) & SLAB_DEBUG_FLAGS) !== 0;
  }

  /**
   * The cache that an object must be freed to which its caller takes for one of `cache`; 0: to none.  A bug, but one that
   * a cache with consistency checks can live with.  Linux: cache_from_obj, virt_to_cache.
   */
  ownerOf(cache: CacheRef, slab: PageRef, object: Pointer): CacheRef {
    const { bytes, checks, slabs } = this.parts;
    const isChecked = bytes.has(cache, SlabFlag.CONSISTENCY_CHECKS);
    if (slab === 0) {
      if (!isChecked) slabs.slabOf(object);
      checks.warnNoSlab(object);
      return 0;
    }
    const owner = this.memory.read(slab + slabField.cache);
    if (!isChecked)
      bug(`free of word ${object} to the cache at word ${cache}: it belongs to the one at word ${owner}`);
    checks.warnWrongCache(cache, owner, object);
    return owner;
  }

  // ---- allocation ----

  /** An object from a slab of a node, from a new slab, or 0. */
  alloc(cache: CacheRef, gfp: number, node: number): Pointer {
    const { partials, slabs, tracks, bytes } = this.parts;
    for (;;) {
      let object = partials.take(cache, gfp, node, this);
      if (object === 0) {
        const slab = slabs.make(cache, gfp, node);
        if (slab === 0) return 0;
        object = this.takeFromNew(cache, slab);
      }
      if (object === 0) continue;
      if (bytes.has(cache, SlabFlag.STORE_USER)) tracks.set(cache, object, TrackItem.ALLOC);
      return object;
    }
  }

  /** An object from a slab of the node's list, or 0.  Linux: get_partial_node, alloc_single_from_partial.  @takes list_lock */
  takeSingle(cache: CacheRef, node: Pointer): Pointer {
    const { memory } = this;
    const { locks, partials, checks } = this.parts;
    const head = node + nodeField.partial;
    const irqs = locks.lockIrqSave(node + nodeField.listLock);
    let object = 0;
    for (let link = memory.read(head); object === 0 && link !== head; ) {
      const slab = link - PAGE_LINKS;
      link = memory.read(link);
      const word = memory.load(slab + slabField.counters);
      object = checks.objectAt(cache, slab, headOf(word));
      if (!this.takeObject(cache, slab, object, inuseOf(word) + 1)) {
        partials.remove(node, slab);
        object = 0;
      } else if (inuseOf(word) + 1 === memory.read(slab + slabField.objects)) {
        partials.remove(node, slab);
        this.addFull(cache, node, slab);
      }
    }
    locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    return object;
  }

  /** The first object of a slab that nobody else knows of.  Linux: alloc_single_from_new_slab.  @takes list_lock */
  private takeFromNew(cache: CacheRef, slab: PageRef): Pointer {
    const { memory } = this;
    const { locks, partials, slabs, checks } = this.parts;
    const node = slabs.nodeOf(cache, slab);
    const object = checks.objectAt(cache, slab, headOf(memory.load(slab + slabField.counters)));
    if (!this.takeObject(cache, slab, object, 1)) return 0;
    const irqs = locks.lockIrqSave(node + nodeField.listLock);
    if (memory.read(slab + slabField.objects) === 1) this.addFull(cache, node, slab);
    else partials.add(node, slab, false);
    slabs.countNew(cache, slab);
    locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    return object;
  }

  /**
   * Takes the first object of a slab's free list, so that `inuse` are in use; false, and the slab is out of use, when it
   * is damaged.  Linux: alloc_debug_processing.
   */
  private takeObject(cache: CacheRef, slab: PageRef, object: Pointer, inuse: number): boolean {
    const { memory } = this;
    const { slabs, bytes, checks, reports } = this.parts;
    const at = slab + slabField.counters;
    const next = slabs.next(cache, object);
    const head = checks.isValid(cache, slab, next) ? checks.headFor(cache, slab, next) : 0;
    memory.store(at, slabWord(head, inuse, isFrozen(memory.load(at))));
    const isChecked = bytes.has(cache, SlabFlag.CONSISTENCY_CHECKS);
    if (isChecked && !checks.mayAlloc(cache, slab, object)) {
      // Nobody gets an object of it any more.
      reports.fix(cache, "Marking all objects used");
      memory.store(at, slabWord(0, memory.read(slab + slabField.objects), true));
      return false;
    }
    if (bytes.keepsRequest(cache))
      bytes.setRequest(cache, object, memory.read(cache + cacheField.objectSize));
    bytes.initObject(cache, object, Poison.RED_ACTIVE);
    return true;
  }

  // ---- free ----

  /** Frees the `count` objects from `first` to `tail`, linked, of one slab.  Linux: free_to_partial_list.  @takes list_lock */
  free(cache: CacheRef, slab: PageRef, first: Pointer, tail: Pointer, count: number): void {
    const { memory } = this;
    const { locks, partials, slabs, checks } = this.parts;
    const node = slabs.nodeOf(cache, slab);
    reached("slub-debug-unlocked");
    const irqs = freesUnlocked ? 0 : locks.lockIrqSave(node + nodeField.listLock);
    let isSpare = false;
    const freed = this.freeObjects(cache, slab, first, tail, count);
    if (freed > 0) {
      const word = memory.load(slab + slabField.counters);
      const prior = headOf(word);
      const inuse = inuseOf(word) - freed;
      slabs.setNext(cache, tail, checks.objectAt(cache, slab, prior));
      memory.store(slab + slabField.counters, slabWord(checks.headFor(cache, slab, first), inuse, false));
      isSpare =
        inuse === 0 && memory.read(node + nodeField.nrPartial) >= memory.read(cache + cacheField.minPartial);
      if (prior === 0) {
        this.removeFull(cache, slab);
        if (!isSpare) partials.add(node, slab, true);
      } else if (isSpare) partials.remove(node, slab);
    }
    if (!freesUnlocked) locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    if (isSpare) this.discard(cache, slab);
  }

  /** Checks and marks the objects; how many there were, 0 when they stay in use.  Linux: free_debug_processing. */
  private freeObjects(
    cache: CacheRef,
    slab: PageRef,
    first: Pointer,
    tail: Pointer,
    expected: number,
  ): number {
    const { bytes, checks, reports, slabs, tracks } = this.parts;
    const isChecked = bytes.has(cache, SlabFlag.CONSISTENCY_CHECKS);
    const refuse = (object: Pointer): number => {
      reports.fix(cache, `Object at ${hexOf(object)} not freed`);
      return 0;
    };
    if (isChecked && !checks.checkSlab(cache, slab)) return refuse(first);
    const inuse = inuseOf(this.memory.load(slab + slabField.counters));
    if (inuse < expected) {
      reports.slabError(cache, slab, `Slab has ${inuse} allocated objects but ${expected} are to be freed`);
      return refuse(first);
    }
    let count = 1;
    for (let object = first; count <= expected; object = slabs.next(cache, object), count++) {
      if (isChecked && !checks.mayFree(cache, slab, object)) return refuse(object);
      if (bytes.has(cache, SlabFlag.STORE_USER)) tracks.set(cache, object, TrackItem.FREE);
      bytes.initObject(cache, object, Poison.RED_INACTIVE);
      if (object === tail) break;
    }
    if (count !== expected)
      reports.slabError(cache, slab, `Bulk free expected ${expected} objects but found ${count}`);
    return Math.min(count, expected);
  }

  /** Gives the pages of an empty slab back, looking at its objects once more.  Linux: free_slab. */
  discard(cache: CacheRef, slab: PageRef): void {
    const { checks, slabs } = this.parts;
    if (this.isOn(cache)) {
      checks.checkPadding(cache, slab);
      for (const object of checks.objectsOf(cache, slab))
        checks.checkObject(cache, slab, object, Poison.RED_INACTIVE);
    }
    slabs.discard(cache, slab);
  }

  // ---- full slabs ----

  /** Linux: add_full.  @holds list_lock */
  addFull(cache: CacheRef, node: Pointer, slab: PageRef): void {
    if (this.parts.bytes.has(cache, SlabFlag.STORE_USER))
      listAdd(this.memory, slab + PAGE_LINKS, node + nodeField.full);
  }

  /** @holds list_lock */
  private removeFull(cache: CacheRef, slab: PageRef): void {
    if (this.parts.bytes.has(cache, SlabFlag.STORE_USER)) listDel(this.memory, slab + PAGE_LINKS);
  }

  // ---- on demand ----

  /**
   * Looks at every object of the slabs that are on the nodes' lists.  What is damaged is reported, and counted.
   * Linux: validate_slab_cache.
   */
  validate(cache: CacheRef, nodes: readonly number[]): { slabs: number; errors: number } {
    const { reports } = this.parts;
    reports.made = 0;
    const slabs = nodes.reduce(
      (sum, nid) => sum + this.validateNode(cache, this.memory.read(cache + cacheField.nodes + nid)),
      0,
    );
    return { slabs, errors: reports.made };
  }

  /** How many slabs are on the node's lists.  Linux: validate_slab_node.  @takes list_lock */
  private validateNode(cache: CacheRef, node: Pointer): number {
    const { memory } = this;
    const { locks, reports } = this.parts;
    const walk = (head: Pointer): number => {
      let count = 0;
      for (let link = memory.read(head); link !== head; link = memory.read(link), count++)
        this.validateSlab(cache, link - PAGE_LINKS);
      return count;
    };
    const expect = (what: string, counted: number, said: number): void => {
      if (counted === said) return;
      reports.made++;
      reports.warn(`SLUB ${readName(memory, cache)}: ${counted} ${what} counted but counter=${said}`);
    };
    const irqs = locks.lockIrqSave(node + nodeField.listLock);
    const partial = walk(node + nodeField.partial);
    expect("partial slabs", partial, memory.read(node + nodeField.nrPartial));
    let count = partial;
    if (this.parts.bytes.has(cache, SlabFlag.STORE_USER)) {
      count += walk(node + nodeField.full);
      expect("slabs", count, memory.load(node + nodeField.nrSlabs));
    }
    locks.unlockIrqRestore(node + nodeField.listLock, irqs);
    return count;
  }

  /** Names the objects that are left in a cache that should end, and who took them.  Linux: list_slab_objects.  @takes list_lock */
  reportLeft(cache: CacheRef, node: Pointer): void {
    const { memory } = this;
    const { locks, reports, slabs } = this.parts;
    const irqs = locks.lockIrqSave(node + nodeField.listLock);
    const head = node + nodeField.partial;
    for (let link = memory.read(head); link !== head; link = memory.read(link)) {
      const slab = link - PAGE_LINKS;
      const what = `Objects remaining in ${readName(memory, cache)} on __kmem_cache_shutdown()`;
      reports.slabError(cache, slab, what);
      const free = this.freeOf(cache, slab);
      for (const object of this.parts.checks.objectsOf(cache, slab)) {
        if (free.has(object)) continue;
        reports.warn(`Object ${hexOf(object)} @offset=${(object - slabs.baseOf(slab)) * WORD_BYTES}`);
        reports.tracking(cache, object);
      }
    }
    locks.unlockIrqRestore(node + nodeField.listLock, irqs);
  }

  /** The objects of a slab's free list. */
  private freeOf(cache: CacheRef, slab: PageRef): Set<Pointer> {
    const { checks, slabs } = this.parts;
    const free = new Set<Pointer>();
    let object = checks.objectAt(cache, slab, headOf(this.memory.load(slab + slabField.counters)));
    for (; object !== 0 && !free.has(object); object = slabs.next(cache, object)) free.add(object);
    return free;
  }

  /** Linux: validate_slab. */
  private validateSlab(cache: CacheRef, slab: PageRef): void {
    const { checks } = this.parts;
    if (!checks.checkSlab(cache, slab) || !checks.isOnFreelist(cache, slab, 0)) return;
    const free = this.freeOf(cache, slab);
    for (const each of checks.objectsOf(cache, slab))
      checks.checkObject(cache, slab, each, free.has(each) ? Poison.RED_INACTIVE : Poison.RED_ACTIVE);
  }
}
