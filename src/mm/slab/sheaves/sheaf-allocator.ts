/**
 * SLUB with sheaves: what a cache has more than SLUB gives it, from its making to its end.
 *
 * All caches have sheaves of 32 objects, unless they ask for others or none, or are debugged.  Sheaves and barns are
 * objects of a cache of their own, which has none.
 *
 * Linux 6.18: mm/slub.c init_percpu_sheaves, init_kmem_cache_nodes, free_percpu_sheaves, barn_shrink.  There a cache has
 * sheaves only if it asks.
 */

import { bug } from "../../../memory/bug.ts";
import { wordsIn } from "../../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../../memory/units.ts";
import { Gfp, GfpFlag } from "../../pages/gfp.ts";
import type { CacheOptions } from "../cache-record.ts";
import { type CacheRef, KmemCache, KmemCacheNode, SlabGlobals } from "../kmem-cache.ts";
import type { CacheCount } from "../object-allocator.ts";
import { NO_NODE } from "../slab-backing.ts";
import { SLAB_DEBUG_FLAGS } from "../slab-flags.ts";
import type { AllocatorParts } from "../slab-parts.ts";
import { SlubAllocator } from "../slub-allocator.ts";
import { Barns } from "./barn.ts";
import { checkSheaves } from "./check-sheaves.ts";
import { SheafPaths } from "./sheaf-paths.ts";
import { Barn, CpuSheaves, MAX_SHEAF_CAPACITY, SHEAF_BYTES, Sheaf } from "./structures.ts";

const CPU_BYTES = wordsIn(CpuSheaves) * WORD_BYTES;
/** Of a cache that does not ask.  Linux 6.18 uses it for VMAs and the maple tree's nodes. */
const DEFAULT_CAPACITY = 32;

export class SheafAllocator extends SlubAllocator {
  /** For callers that want prefilled sheaves. */
  declare readonly sheaves: SheafPaths;
  declare private readonly barns: Barns;

  constructor(parts: AllocatorParts) {
    super(parts);
    const { slub, slabs } = this;
    this.barns = new Barns(parts.cpu, parts.locks);
    const { barns } = this;
    this.sheaves = new SheafPaths({ ...parts, slub, slabs, barns });
    this.objects = this.sheaves;
  }

  override bootstrap(link: (cache: CacheRef) => void): void {
    const { memory, globals } = this;
    super.bootstrap(link);
    const from = memory.read(globals + SlabGlobals.kmemCache);
    const cache = this.slub.alloc(from, Gfp.NOWAIT | GfpFlag.ZERO, NO_NODE);
    const options = { name: "slab_sheaf", objectBytes: SHEAF_BYTES, sheafCapacity: 0 };
    if (cache === 0 || !super.setUp(cache, options)) bug("no memory for the cache of sheaves");
    memory.write(globals + SlabGlobals.sheafCache, cache);
    link(cache);
  }

  override setUp(cache: CacheRef, options: CacheOptions): boolean {
    const { memory, globals } = this;
    if (!super.setUp(cache, options)) return false;
    const { name, sheafCapacity = DEFAULT_CAPACITY } = options;
    if (!Number.isInteger(sheafCapacity) || sheafCapacity < 0 || sheafCapacity > MAX_SHEAF_CAPACITY)
      bug(`kmem_cache_create(${name}): sheafCapacity ${sheafCapacity}: valid are 0 to ${MAX_SHEAF_CAPACITY}`);
    const isEarly = memory.read(globals + SlabGlobals.sheafCache) === 0;
    const isDebugged = (memory.read(cache + KmemCache.flags) & SLAB_DEBUG_FLAGS) !== 0;
    if (isEarly || isDebugged || sheafCapacity === 0) return true;
    if (this.setUpSheaves(cache, sheafCapacity)) return true;
    this.release(cache);
    return false;
  }

  override shutDown(cache: CacheRef): boolean {
    this.emptyBarns(cache);
    return super.shutDown(cache);
  }

  override shrink(cache: CacheRef): boolean {
    this.emptyBarns(cache);
    return super.shrink(cache);
  }

  override release(cache: CacheRef): void {
    const { memory, parts, sheaves } = this;
    const at = memory.read(cache + KmemCache.cpuSheaves);
    const cpus = at === 0 ? 0 : parts.possibleCpus;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const own = parts.perCpu.of(at, cpu);
      for (const field of [CpuSheaves.main, CpuSheaves.spare]) {
        const sheaf = memory.read(own + field);
        if (sheaf === 0) continue;
        const left = memory.read(sheaf + Sheaf.size);
        if (left !== 0) bug(`${left} objects are in a sheaf of cpu ${cpu}, whose cache ends`);
        sheaves.freeSheaf(sheaf);
      }
    }
    for (const node of this.nodesOf(cache)) {
      const barn = memory.read(node + KmemCacheNode.barn);
      if (barn !== 0) sheaves.freeSheaf(barn);
    }
    if (at !== 0) parts.perCpu.free(at);
    super.release(cache);
  }

  override leave(cache: CacheRef): void {
    this.sheaves.flushHere(cache);
    super.leave(cache);
  }

  override hasCpuPart(cache: CacheRef, cpu: number): boolean {
    const { memory, parts } = this;
    const at = memory.read(cache + KmemCache.cpuSheaves);
    if (at !== 0) {
      const own = parts.perCpu.of(at, cpu);
      for (const field of [CpuSheaves.main, CpuSheaves.spare]) {
        const sheaf = memory.read(own + field);
        if (sheaf !== 0 && memory.read(sheaf + Sheaf.size) > 0) return true;
      }
    }
    return super.hasCpuPart(cache, cpu);
  }

  override flushHere(cache: CacheRef): void {
    this.sheaves.flushHere(cache);
    super.flushHere(cache);
  }

  override check(caches: readonly CacheRef[]): CacheCount[] {
    return checkSheaves({ ...this.parts, slabs: this.slabs }, super.check(caches));
  }

  private setUpSheaves(cache: CacheRef, capacity: number): boolean {
    const { memory, parts, sheaves } = this;
    const at = parts.perCpu.alloc(CPU_BYTES, CPU_BYTES);
    if (at === 0) return false;
    memory.write(cache + KmemCache.cpuSheaves, at);
    for (const node of this.nodesOf(cache)) {
      const barn = sheaves.make(0, Gfp.KERNEL);
      if (barn === 0) return false;
      memory.fill(barn, wordsIn(Barn), 0);
      this.barns.format(barn);
      memory.write(node + KmemCacheNode.barn, barn);
    }
    for (let cpu = 0; cpu < parts.possibleCpus; cpu++) {
      const own = parts.perCpu.of(at, cpu);
      const main = sheaves.make(capacity, Gfp.KERNEL);
      memory.write(own + CpuSheaves.main, main);
      memory.write(own + CpuSheaves.capacity, capacity);
      if (main === 0) return false;
    }
    return true;
  }

  private emptyBarns(cache: CacheRef): void {
    for (const node of this.nodesOf(cache)) {
      const barn = this.memory.read(node + KmemCacheNode.barn);
      if (barn !== 0) this.sheaves.emptyBarn(cache, barn);
    }
    // Slabs that were full are on this CPU's list for it.
    this.slub.flushCpu(cache);
  }

  /** A cache that was never finished has not all of them. */
  private nodesOf(cache: CacheRef): Pointer[] {
    return this.parts.nodes
      .map((nid) => this.memory.read(cache + KmemCache.nodes + nid))
      .filter((node) => node !== 0);
  }
}
