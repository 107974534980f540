/**
 * SLAB: CPUs with full arrays free objects of the same slabs at once, so that each batch goes to the node's slabs, which
 * change lists.  The lists and the free indexes must agree at the end, and nothing be lost.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import type { CacheRef } from "../mm/slab/kmem-cache.ts";
import { ArrayCache, SlabCache, SlabNode } from "../mm/slab/slab/structures.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-array-flush",
  summary: "CPUs give batches back to the same node at once; its slabs' lists and counts must agree",
  cpus: 2,
  slab: "slab",
  mutants: ["slab-flush-unlocked"],
  stepLimit: 3000,
};

/** Four objects in a slab. */
const OBJECT_BYTES = 1024;
const EACH = 3;

interface Shared {
  readonly cache: CacheRef;
  /** Side by side in the same slabs: CPU 0 frees every second one, and so on. */
  readonly objects: readonly Pointer[];
}

/** Arrays of one object, and nothing shared: every free after the first goes to the slabs. */
export function setup({ slabs, memory, perCpu, cpus }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const objects = Array.from({ length: EACH * cpus }, () => slabs.alloc(cache, Gfp.KERNEL));
  if (objects.includes(0)) bug(`no memory for ${objects.length} objects of ${OBJECT_BYTES} bytes`);
  slabs.leave();
  for (let cpu = 0; cpu < cpus; cpu++) {
    const array = perCpu.of(memory.read(cache + SlabCache.cpuSlab), cpu);
    memory.write(array + ArrayCache.limit, 1);
    memory.write(array + ArrayCache.batchCount, 1);
  }
  const shared = memory.read(memory.read(cache + SlabCache.nodes) + SlabNode.shared);
  memory.write(shared + ArrayCache.limit, 0);
  return { cache, objects };
}

/** Names the cache's words, for reports. */
export function attach({ regions, memory }: Kernel, _options: object, { cache }: Shared): void {
  regions.add("kmem_cache", cache, SlabCache);
  regions.add("kmem_cache_node", memory.read(cache + SlabCache.nodes), SlabNode);
}

export function run({ slabs, cpu, cpus }: Kernel, _options: object, { cache, objects }: Shared): void {
  for (let i = 0; i < EACH; i++) slabs.free(cache, objects[i * cpus + cpu.id]);
}

export function check({ slabs }: Kernel, _options: object, _values: unknown, { cache }: Shared): void {
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  if (count?.active !== 0) bug(`${count?.active} objects are in use, all were freed`);
}
