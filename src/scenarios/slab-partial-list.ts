/**
 * CPUs without slabs take partial ones from their node's list at once.  Each slab must become one CPU's, and no object be
 * given twice.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import { type CacheRef, KmemCache, KmemCacheNode } from "../mm/slab/kmem-cache.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-partial-list",
  summary: "CPUs take partial slabs from their node's list at once; each becomes one CPU's alone",
  cpus: 2,
  mutants: ["slub-partial-unlocked"],
};

/** Two objects in a slab of eight pages. */
const OBJECT_BYTES = 16_384;
const IN_SLAB = 2;
const SLABS = 4;
const OWNER = 1;

/** A cache with partial slabs on the node's list, one object of each in use. */
export function setup({ slabs, memory }: Kernel): CacheRef {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const objects = Array.from({ length: SLABS * IN_SLAB }, () => slabs.alloc(cache, Gfp.KERNEL));
  if (objects.includes(0)) bug(`no memory for ${objects.length} objects of ${OBJECT_BYTES} bytes`);
  for (let i = 0; i < objects.length; i += IN_SLAB) {
    memory.write(objects[i] + OWNER, 0);
    slabs.free(cache, objects[i]);
  }
  slabs.leave();
  // A CPU takes one slab and one more for later.
  memory.write(cache + KmemCache.cpuPartialSlabs, 1);
  return cache;
}

export function attach({ regions, memory }: Kernel, _options: object, cache: CacheRef): void {
  regions.add("kmem_cache", cache, KmemCache);
  regions.add("kmem_cache_node", memory.read(cache + KmemCache.nodes), KmemCacheNode);
}

export function run({ slabs, cpu, cpus, memory }: Kernel, _options: object, cache: CacheRef): void {
  const object: Pointer = slabs.alloc(cache, Gfp.KERNEL);
  if (object === 0) bug(`cpu ${cpu.id} was given no object, although some are free`);
  const owner = memory.exchange(object + OWNER, cpu.id + 1);
  if (owner > 0 && owner <= cpus) bug(`cpu ${cpu.id} was given word ${object}, which cpu ${owner - 1} has`);
}

export function check({ slabs, cpus }: Kernel, _options: object, _values: unknown, cache: CacheRef): void {
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  const active = SLABS * (IN_SLAB - 1) + cpus;
  if (count?.active !== active) bug(`${count?.active} objects are in use, there should be ${active}`);
}
