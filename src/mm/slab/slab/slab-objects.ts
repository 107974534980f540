/**
 * The objects of one slab of SLAB: where they lie, and the indexes of those that are free.
 *
 * The indexes are bytes, one an object, in an array behind the objects, in an object of another cache, or, while there
 * is a free object, in that one.  Indexes from `active` on are of free objects; the next one given out is the one at
 * `active`.  The object that holds the array is the last index: it is given out last, when nobody needs the array.
 *
 * Linux 6.7: mm/slab.c index_to_obj, slab_get_obj, slab_put_obj, alloc_slabmgmt, cache_init_objs.
 */

import { bug } from "../../../memory/bug.ts";
import type { Memory } from "../../../memory/memory.ts";
import { PAGE_BYTES, type Pointer, WORD_BYTES } from "../../../memory/units.ts";
import type { Functions } from "../../../sync/functions.ts";
import type { PageRef } from "../../pages/page.ts";
import { SlabPage } from "../../pages/page-overlays.ts";
import type { CacheRef } from "../kmem-cache.ts";
import type { SlabBacking } from "../slab-backing.ts";
import { Placement, SlabCache } from "./structures.ts";

const cacheField = SlabCache;
const slabField = SlabPage;

export class SlabObjects {
  declare private readonly memory: Memory;
  declare private readonly backing: SlabBacking;
  declare private readonly functions: Functions;

  constructor(backing: SlabBacking, functions: Functions) {
    this.memory = backing.memory;
    this.backing = backing;
    this.functions = functions;
  }

  /** Writes the descriptor of a new slab; all objects are free.  `freelist`: the object for its indexes, if it is off-slab. */
  format(cache: CacheRef, slab: PageRef, colourBytes: number, freelist: Pointer): void {
    const { memory } = this;
    const objects = memory.read(cache + cacheField.objects);
    const flags = memory.read(cache + cacheField.flags);
    const first = this.backing.baseOf(slab) + colourBytes / WORD_BYTES;
    memory.write(slab + slabField.objects, objects);
    memory.write(slab + slabField.firstObject, first);
    memory.write(slab + slabField.active, 0);
    memory.write(slab + slabField.freelist, freelist);
    if ((flags & Placement.IN_OBJECT) !== 0)
      memory.write(slab + slabField.freelist, this.objectAt(cache, slab, objects - 1));
    const construct = memory.read(cache + cacheField.construct);
    const indexes = this.indexesOf(cache, slab);
    for (let i = 0; i < objects; i++) {
      if (construct !== 0) this.functions.call(construct, this.objectAt(cache, slab, i), 0);
      memory.writeByte(indexes + i, i);
    }
  }

  /** Takes a free object: there is one.  @holds list_lock, or nobody else knows of the slab */
  get(cache: CacheRef, slab: PageRef): Pointer {
    const { memory } = this;
    const active = memory.read(slab + slabField.active);
    const index = memory.readByte(this.indexesOf(cache, slab) + active);
    memory.write(slab + slabField.active, active + 1);
    return this.objectAt(cache, slab, index);
  }

  /** @holds list_lock */
  put(cache: CacheRef, slab: PageRef, object: Pointer): void {
    const { memory } = this;
    const index = this.indexOf(cache, slab, object);
    const active = memory.read(slab + slabField.active) - 1;
    if (active < 0) bug(`free of word ${object}: no object of its slab is in use`);
    memory.write(slab + slabField.active, active);
    if (memory.read(slab + slabField.freelist) === 0) memory.write(slab + slabField.freelist, object);
    memory.writeByte(this.indexesOf(cache, slab) + active, index);
  }

  objectAt(cache: CacheRef, slab: PageRef, index: number): Pointer {
    const { memory } = this;
    const words = memory.read(cache + cacheField.size) >> 2;
    return memory.read(slab + slabField.firstObject) + index * words;
  }

  /** Which object of its slab begins at `object`.  A bug when none does. */
  indexOf(cache: CacheRef, slab: PageRef, object: Pointer): number {
    const { memory } = this;
    const words = memory.read(cache + cacheField.size) >> 2;
    const index = (object - memory.read(slab + slabField.firstObject)) / words;
    if (!Number.isInteger(index) || index < 0 || index >= memory.read(slab + slabField.objects)) {
      bug(`word ${object} is not the start of an object: objects of its slab are ${words} words apart`);
    }
    return index;
  }

  /** Byte address of the indexes. */
  indexesOf(cache: CacheRef, slab: PageRef): number {
    const { memory } = this;
    const flags = memory.read(cache + cacheField.flags);
    if ((flags & (Placement.IN_OBJECT | Placement.OFF_SLAB)) !== 0)
      return memory.read(slab + slabField.freelist) * WORD_BYTES;
    const slabBytes = PAGE_BYTES << memory.read(cache + cacheField.order);
    return this.backing.baseOf(slab) * WORD_BYTES + slabBytes - memory.read(cache + cacheField.freelistBytes);
  }
}
