/**
 * The objects of a new slab in a random order, so that the next one to be handed out cannot be told.
 *
 * A cache has one sequence, made with it: its objects' offsets in a random order.  Each slab begins somewhere in the
 * sequence and goes round; one of a smaller order leaves out what it has not.  All draws are from the CPU's own generator,
 * so that a run repeats.
 *
 * Linux: mm/slub.c init_cache_random_seq, shuffle_freelist, next_freelist_entry; mm/slab_common.c freelist_randomize
 * (CONFIG_SLAB_FREELIST_RANDOM).  Differs: a sequence lies in pages of its own, not in memory of kmalloc; the first two
 * caches keep their order.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Memory } from "../../memory/memory.ts";
import { FRAME_WORDS, frameOf, pfnOf } from "../../memory/units.ts";
import { Gfp } from "../pages/gfp.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { type CacheRef, KmemCache } from "./kmem-cache.ts";

const cacheField = KmemCache;

export class FreelistRandom {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly pages: PageAllocator;

  constructor({ cpu, pages }: { cpu: Cpu; pages: PageAllocator }) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.pages = pages;
  }

  /** Makes a cache's sequence; false when there is no memory for it.  @may-sleep */
  create(cache: CacheRef): boolean {
    const { memory } = this;
    const objects = memory.read(cache + cacheField.objects);
    if (objects < 2) return true;
    const pfn = this.pages.allocPages(Gfp.KERNEL, this.orderOf(objects));
    if (pfn === 0) return false;
    const at = frameOf(pfn);
    const size = memory.read(cache + cacheField.size);
    for (let i = 0; i < objects; i++) memory.write(at + i, i * size);
    for (let i = objects - 1; i > 0; i--) {
      const other = at + this.cpu.random.below(i + 1);
      const offset = memory.read(at + i);
      memory.write(at + i, memory.read(other));
      memory.write(other, offset);
    }
    memory.write(cache + cacheField.sequence, at);
    return true;
  }

  release(cache: CacheRef): void {
    const { memory } = this;
    const at = memory.read(cache + cacheField.sequence);
    if (at !== 0) this.pages.freePages(pfnOf(at), this.orderOf(memory.read(cache + cacheField.objects)));
    memory.write(cache + cacheField.sequence, 0);
  }

  /** The offsets of the `objects` of a new slab, bytes, in the order in which they are to be handed out. */
  offsets(cache: CacheRef, objects: number): number[] {
    const { memory } = this;
    const size = memory.read(cache + cacheField.size);
    const at = memory.read(cache + cacheField.sequence);
    if (at === 0) return Array.from({ length: objects }, (_, i) => i * size);
    const all = memory.read(cache + cacheField.objects);
    const found: number[] = [];
    for (let position = this.cpu.random.below(all); found.length < objects; position = (position + 1) % all) {
      const offset = memory.read(at + position);
      if (offset < objects * size) found.push(offset);
    }
    return found;
  }

  private orderOf(objects: number): number {
    return Math.ceil(Math.log2(Math.ceil(objects / FRAME_WORDS)));
  }
}
