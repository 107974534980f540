/**
 * Many objects by one call: from this CPU's free list with interrupts off once, and back by one exchange for each run of
 * neighbours in the list that is given.
 *
 * Linux: mm/slub.c kmem_cache_alloc_bulk, kmem_cache_free_bulk, build_detached_freelist.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import { GfpFlag } from "../pages/gfp.ts";
import { SlabPage } from "../pages/page-overlays.ts";
import { type CacheRef, KmemCacheCpu } from "./kmem-cache.ts";
import { NO_NODE } from "./slab-backing.ts";
import type { SlabPages } from "./slab-pages.ts";
import type { Slub } from "./slub.ts";

const cpuField = KmemCacheCpu;
const slabField = SlabPage;
const { ZERO, DIRECT_RECLAIM } = GfpFlag;

export class SlubBulk {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly slabs: SlabPages;
  declare private readonly slub: Slub;

  constructor(cpu: Cpu, slabs: SlabPages, slub: Slub) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.slabs = slabs;
    this.slub = slub;
  }

  /** `count` objects, appended to `into`, or none of them: true if there were as many. */
  alloc(cache: CacheRef, gfp: number, count: number, into: Pointer[]): boolean {
    const { memory, cpu, slub } = this;
    if ((gfp & DIRECT_RECLAIM) !== 0) cpu.mightSleep("kmem_cache_alloc_bulk");
    const own = slub.ownPart(cache);
    const before = into.length;
    let irqs = cpu.irqSave();
    for (let left = count; left > 0; left--) {
      let object = memory.read(own + cpuField.freelist);
      if (object !== 0) memory.write(own + cpuField.freelist, this.slabs.next(cache, object));
      else {
        // What an interrupted fast path has read is past: objects were taken without it.
        slub.nextTid(own);
        cpu.irqRestore(irqs);
        object = slub.allocSlow(cache, own, gfp, NO_NODE);
        irqs = cpu.irqSave();
      }
      if (object === 0) break;
      into.push(object);
    }
    slub.nextTid(own);
    cpu.irqRestore(irqs);
    if (into.length - before < count) {
      this.free(cache, into.splice(before));
      return false;
    }
    if ((gfp & ZERO) !== 0) for (let i = before; i < into.length; i++) slub.zero(cache, into[i]);
    return true;
  }

  free(cache: CacheRef, objects: readonly Pointer[]): void {
    const { memory, slabs, slub } = this;
    for (let i = 0; i < objects.length; ) {
      const tail = objects[i];
      const slab = slabs.slabAt(tail);
      if (slab === 0 || memory.read(slab + slabField.cache) !== cache) {
        slub.freeElsewhere(cache, slab, tail);
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
      slub.freeRun(cache, slab, head, tail, count);
      i += count;
    }
  }
}
