/**
 * CPUs of one node free and take so many objects that their sheaves are exchanged for the barn's: full ones for empty
 * ones, and back.  No sheaf may be in two places or lost, and no object in two sheaves.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import { type CacheRef, KmemCache, KmemCacheNode } from "../mm/slab/kmem-cache.ts";
import { Barn } from "../mm/slab/sheaves/structures.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-barn",
  summary: "CPUs exchange full sheaves of objects for empty ones in their node's barn, and back",
  cpus: 2,
  memory: "2MiB",
  slab: "sheaves",
  mutants: ["barn-unlocked"],
};

const OBJECT_BYTES = 256;
/** So few that every other object moves a sheaf. */
const CAPACITY = 1;
const EACH = 4;
const TAKEN = 3;
const OWNER = 1;

interface Shared {
  readonly cache: CacheRef;
  readonly objects: readonly Pointer[];
}

export function setup({ slabs, cpus }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES, sheafCapacity: CAPACITY });
  if (cache === 0) bug("no memory for a cache");
  const objects = Array.from({ length: EACH * cpus }, () => slabs.alloc(cache, Gfp.KERNEL));
  if (objects.includes(0)) bug(`no memory for ${objects.length} objects of ${OBJECT_BYTES} bytes`);
  return { cache, objects };
}

/** Names the barn's words, for reports. */
export function attach({ regions, memory }: Kernel, _options: object, { cache }: Shared): void {
  const node = memory.read(cache + KmemCache.nodes);
  regions.add("node_barn", memory.read(node + KmemCacheNode.barn), Barn);
}

export function run({ slabs, cpu, memory }: Kernel, _options: object, { cache, objects }: Shared): void {
  for (let i = 0; i < EACH; i++) slabs.free(cache, objects[cpu.id * EACH + i]);
  for (let i = 0; i < TAKEN; i++) {
    const object = slabs.alloc(cache, Gfp.KERNEL);
    const owner = memory.exchange(object + OWNER, -1 - cpu.id);
    if (owner < 0 && owner >= -2) bug(`cpu ${cpu.id} was given word ${object}, which cpu ${-1 - owner} has`);
  }
}

export function check({ slabs, cpus }: Kernel, _options: object, _values: unknown, { cache }: Shared): void {
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  if (count?.active !== TAKEN * cpus)
    bug(`${count?.active} objects are in use, ${TAKEN * cpus} were taken and not given back`);
}
