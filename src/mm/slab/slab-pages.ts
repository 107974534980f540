/**
 * Slabs as pages and objects: making one, giving it back, and the free pointers inside the objects.
 *
 * Linux: mm/slub.c allocate_slab, free_slab, rcu_free_slab, get_freepointer, set_freepointer, virt_to_slab.
 */

import { bug } from "../../memory/bug.ts";
import type { Pointer } from "../../memory/units.ts";
import type { Functions } from "../../sync/functions.ts";
import { GfpFlag } from "../pages/gfp.ts";
import type { PageRef } from "../pages/page.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import type { FreelistRandom } from "./freelist-random.ts";
import { type CacheRef, KmemCache, KmemCacheNode } from "./kmem-cache.ts";
import { type ObjectBytes, Poison } from "./object-bytes.ts";
import { type BackingParts, PASSED, SlabBacking } from "./slab-backing.ts";
import { SLAB_DEBUG_FLAGS, SlabFlag } from "./slab-flags.ts";
import type { Tracks } from "./slab-track.ts";
import { inuseOf, isFrozen, slabWord } from "./slab-word.ts";

const cacheField = KmemCache;
const slabField = SlabPage;
const nodeField = KmemCacheNode;
const F = GfpFlag;
const swapBytes = (word: number): number =>
  (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
/** A free pointer as it is stored, and back.  Linux: freelist_ptr_encode, freelist_ptr_decode. */
const mixed = (pointer: Pointer, cookie: number, slot: Pointer): number => pointer ^ cookie ^ swapBytes(slot);

export interface SlubPageParts extends BackingParts {
  readonly bytes: ObjectBytes;
  readonly tracks: Tracks;
  readonly order: FreelistRandom;
}

export class SlabPages extends SlabBacking {
  declare private readonly functions: Functions;
  declare private readonly bytes: ObjectBytes;
  declare private readonly tracks: Tracks;
  declare private readonly order: FreelistRandom;

  constructor(parts: SlubPageParts) {
    super(parts);
    this.functions = parts.functions;
    this.bytes = parts.bytes;
    this.tracks = parts.tracks;
    this.order = parts.order;
  }

  // ---- objects ----

  /** The free object after `object`, or 0.  Of an object that is not free it is any number. */
  next(cache: CacheRef, object: Pointer): Pointer {
    const { memory } = this;
    const slot = object + (memory.read(cache + cacheField.offset) >> 2);
    const cookie = memory.read(cache + cacheField.random);
    const stored = memory.read(slot);
    return cookie === 0 ? stored : mixed(stored, cookie, slot);
  }

  setNext(cache: CacheRef, object: Pointer, next: Pointer): void {
    const { memory } = this;
    const slot = object + (memory.read(cache + cacheField.offset) >> 2);
    const cookie = memory.read(cache + cacheField.random);
    memory.write(slot, cookie === 0 ? next : mixed(next, cookie, slot));
  }

  /** The object that a slab word's head stands for. */
  objectAt(cache: CacheRef, slab: PageRef, head: number): Pointer {
    if (head === 0) return 0;
    return this.baseOf(slab) + (head - 1) * (this.memory.read(cache + cacheField.size) >> 2);
  }

  /** What stands for `object` in a slab word.  A bug when no object begins there. */
  headFor(cache: CacheRef, slab: PageRef, object: Pointer): number {
    const { memory } = this;
    const words = memory.read(cache + cacheField.size) >> 2;
    const distance = object - this.baseOf(slab);
    const index = (distance / words) | 0;
    if (Math.imul(index, words) !== distance || index >>> 0 >= memory.read(slab + slabField.objects))
      this.reportNoStart(object, words);
    return index + 1;
  }

  /** The node whose list a slab belongs on.  Linux: get_node(s, slab_nid(slab)). */
  nodeOf(cache: CacheRef, slab: PageRef): Pointer {
    return this.memory.read(cache + cacheField.nodes + this.frames.nodeOf(slab));
  }

  // ---- slabs ----

  /**
   * A new slab of free objects that nobody else knows of, on `node` or near it; 0 when there is no memory.  Where no
   * block of the cache's order is to be had, one of the smallest order.  Linux: allocate_slab.
   * @may-sleep with __GFP_DIRECT_RECLAIM
   */
  make(cache: CacheRef, gfp: number, node: number): PageRef {
    const { memory } = this;
    const flags = gfp & PASSED;
    const order = memory.read(cache + cacheField.order);
    const minOrder = memory.read(cache + cacheField.minOrder);
    let first = (flags | F.NOWARN | F.NORETRY) & ~F.NOFAIL;
    if ((first & F.DIRECT_RECLAIM) !== 0 && order > minOrder)
      first = (first | F.NOMEMALLOC) & ~F.DIRECT_RECLAIM;
    const slab = this.take(cache, first, order, node);
    if (slab !== 0) return this.format(cache, slab, memory.read(cache + cacheField.objects));
    const small = this.take(cache, flags, minOrder, node);
    if (small === 0) return 0;
    return this.format(cache, small, memory.read(cache + cacheField.minObjects));
  }

  /** Counts a slab that `make` has made and that is in use from here on.  Linux: inc_slabs_node. */
  countNew(cache: CacheRef, slab: PageRef): void {
    const { memory } = this;
    const node = this.nodeOf(cache, slab);
    memory.add(node + nodeField.nrSlabs, 1);
    memory.add(node + nodeField.totalObjects, memory.read(slab + slabField.objects));
  }

  /**
   * Gives the pages of an empty slab back, those of a TYPESAFE_BY_RCU cache after a grace period; it is on no list.
   * Linux: discard_slab, free_slab.
   */
  discard(cache: CacheRef, slab: PageRef): void {
    const { memory, frames } = this;
    const word = memory.load(slab + slabField.counters);
    if (inuseOf(word) !== 0 || isFrozen(word) || memory.read(slab + slabField.onNodeList) !== 0) {
      bug(
        `slab of frame ${frames.pfnOf(slab)} is given back with ${inuseOf(word)} objects in use, ` +
          `frozen ${isFrozen(word)}, on its node's list ${memory.read(slab + slabField.onNodeList)}`,
      );
    }
    const node = this.nodeOf(cache, slab);
    memory.add(node + nodeField.nrSlabs, -1);
    memory.add(node + nodeField.totalObjects, -memory.read(slab + slabField.objects));
    this.give(slab);
  }

  private format(cache: CacheRef, slab: PageRef, objects: number): PageRef {
    const { memory, functions } = this;
    memory.write(slab + slabField.next, 0);
    memory.write(slab + slabField.prev, 0);
    memory.write(slab + slabField.objects, objects);
    memory.write(slab + slabField.onNodeList, 0);
    memory.write(slab + slabField.slabs, 0);
    const construct = memory.read(cache + cacheField.construct);
    const isDebug = (memory.read(cache + cacheField.flags) & SLAB_DEBUG_FLAGS) !== 0;
    if (isDebug) this.bytes.initSlab(cache, this.baseOf(slab), 1 << this.orderOf(slab));
    const isRandom = memory.read(cache + cacheField.sequence) !== 0;
    const offsets = isRandom ? this.order.offsets(cache, objects) : null;
    const words = memory.read(cache + cacheField.size) >> 2;
    const base = this.baseOf(slab) + (memory.read(cache + cacheField.redLeft) >> 2);
    let object = base + (offsets === null ? 0 : offsets[0] >> 2);
    memory.store(slab + slabField.counters, slabWord((object - base) / words + 1, 0, false));
    for (let i = 1; i <= objects; i++) {
      if (isDebug) this.initObject(cache, object);
      if (construct !== 0) functions.call(construct, object, 0);
      const following = offsets === null ? object + words : base + (offsets[i] >> 2);
      const next = i < objects ? following : 0;
      this.setNext(cache, object, next);
      object = next;
    }
    return slab;
  }

  /** Linux: setup_object_debug. */
  private initObject(cache: CacheRef, object: Pointer): void {
    this.bytes.initObject(cache, object, Poison.RED_INACTIVE);
    if (this.bytes.has(cache, SlabFlag.STORE_USER)) this.tracks.init(cache, object);
  }

  private reportNoStart(object: Pointer, words: number): never {
    bug(`word ${object} is not the start of an object: objects of its slab are ${words} words apart`);
  }
}
