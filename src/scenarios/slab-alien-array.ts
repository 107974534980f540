/**
 * SLAB: CPUs of one node free objects of another into the array that they share for it, and into that node's slabs when it
 * is full.  No object may be lost or go home twice.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import type { CacheRef } from "../mm/slab/kmem-cache.ts";
import { AlienCache, ArrayCache, SlabCache, SlabNode } from "../mm/slab/slab/structures.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-alien-array",
  summary: "CPUs free another node's objects through one array; none is lost or goes home twice",
  cpus: 2,
  nodes: 2,
  memory: "2MiB",
  slab: "slab",
  mutants: ["slab-alien-unlocked"],
};

const OBJECT_BYTES = 1024;
const EACH = 3;
const HOME = 1;

interface Shared {
  readonly cache: CacheRef;
  readonly objects: readonly Pointer[];
}

/** An alien array of two objects: it is full soon. */
export function setup({ slabs, memory, cpus }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const flags = Gfp.KERNEL | GfpFlag.THISNODE;
  const objects = Array.from({ length: EACH * cpus }, () => slabs.allocNode(cache, flags, HOME));
  if (objects.includes(0)) bug(`no memory for ${objects.length} objects of ${OBJECT_BYTES} bytes`);
  memory.write(alienOf(memory, cache) + AlienCache.array + ArrayCache.limit, 2);
  return { cache, objects };
}

/** Names the cache's words, for reports. */
export function attach({ regions, memory }: Kernel, _options: object, { cache }: Shared): void {
  regions.add("kmem_cache", cache, SlabCache);
  regions.add("kmem_cache_node", memory.read(cache + SlabCache.nodes + HOME), SlabNode);
  regions.add("alien_cache", alienOf(memory, cache), AlienCache);
}

export function run({ slabs, cpu, cpus }: Kernel, _options: object, { cache, objects }: Shared): void {
  for (let i = 0; i < EACH; i++) slabs.free(cache, objects[i * cpus + cpu.id]);
}

export function check({ slabs }: Kernel, _options: object, _values: unknown, { cache }: Shared): void {
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  if (count?.active !== 0) bug(`${count?.active} objects are in use, all were freed`);
}

/** The array in which the first node's CPUs collect the other's objects. */
function alienOf(memory: Kernel["memory"], cache: CacheRef): Pointer {
  const node = memory.read(cache + SlabCache.nodes);
  return memory.read(memory.read(node + SlabNode.alien) + HOME);
}
