/**
 * CPUs free objects of each other's slabs while they take new ones: slabs become full, partial and empty, and change
 * hands.  No object may be given twice or lost, and every slab must be where its state says.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import { type CacheRef, KmemCache, KmemCacheNode } from "../mm/slab/kmem-cache.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-remote-free",
  summary:
    "CPUs free each other's objects and take new ones; none is given twice, every slab is in its place",
  cpus: 2,
  mutants: ["slub-free-plain", "slub-stays-frozen"],
};

/** Two objects in a slab of eight pages: states change at every step. */
const OBJECT_BYTES = 16_384;
const EACH = 2;
const OWNER = 1;

interface Shared {
  readonly cache: CacheRef;
  /** Side by side in the same slabs: CPU 0 frees every second one, and so on. */
  readonly objects: readonly Pointer[];
}

export function setup({ slabs, cpus }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const objects = Array.from({ length: EACH * cpus }, () => slabs.alloc(cache, Gfp.KERNEL));
  if (objects.includes(0)) bug(`no memory for ${objects.length} objects of ${OBJECT_BYTES} bytes`);
  return { cache, objects };
}

/** Names the cache's words, for reports. */
export function attach({ regions, memory }: Kernel, _options: object, { cache }: Shared): void {
  regions.add("kmem_cache", cache, KmemCache);
  regions.add("kmem_cache_node", memory.read(cache + KmemCache.nodes), KmemCacheNode);
}

export function run(
  { slabs, cpu, cpus, memory }: Kernel,
  _options: object,
  { cache, objects }: Shared,
): void {
  for (let i = 0; i < EACH; i++) slabs.free(cache, objects[i * cpus + cpu.id]);
  slabs.leave(); // what was put on this CPU's list goes to the node's, where others look for it
  const object = slabs.alloc(cache, Gfp.KERNEL);
  if (object !== 0) {
    const owner = memory.exchange(object + OWNER, cpu.id + 1);
    if (owner > 0 && owner <= cpus) bug(`cpu ${cpu.id} was given word ${object}, which cpu ${owner - 1} has`);
  }
  slabs.leave();
}

export function check({ slabs }: Kernel): void {
  checkSlabs(slabs);
}
