/**
 * SLOB: CPUs free blocks of the same pages and take new ones at once.  The free blocks must stay in order and add up, and
 * no block be given twice.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import type { CacheRef } from "../mm/slab/kmem-cache.ts";
import { SlobCache } from "../mm/slab/slob/structures.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slob-blocks",
  summary: "CPUs free blocks of the same page and take new ones; blocks stay in order, none is given twice",
  cpus: 2,
  slab: "slob",
  mutants: ["slob-unlocked"],
};

const OBJECT_BYTES = 512;
const EACH = 2;

interface Shared {
  readonly cache: CacheRef;
  /** Side by side in one page: CPU 0 frees every second one, and so on. */
  readonly objects: readonly Pointer[];
}

export function setup({ slabs, cpus }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const objects = Array.from({ length: EACH * cpus }, () => slabs.alloc(cache, Gfp.KERNEL));
  if (objects.includes(0)) bug(`no memory for ${objects.length} objects of ${OBJECT_BYTES} bytes`);
  return { cache, objects };
}

/** Names the cache's words, for reports. */
export function attach({ regions }: Kernel, _options: object, { cache }: Shared): void {
  regions.add("kmem_cache", cache, SlobCache);
}

export function run({ slabs, cpu, cpus }: Kernel, _options: object, { cache, objects }: Shared): Pointer {
  for (let i = 0; i < EACH; i++) slabs.free(cache, objects[i * cpus + cpu.id]);
  const object = slabs.alloc(cache, Gfp.KERNEL);
  if (object === 0) bug(`cpu ${cpu.id} was given no object`);
  return object;
}

export function check(
  { slabs }: Kernel,
  _options: object,
  values: readonly unknown[],
  { cache }: Shared,
): void {
  if (new Set(values).size !== values.length) bug(`objects ${values.join(", ")}: one was given twice`);
  checkSlabs(slabs);
  for (const object of values as Pointer[]) slabs.free(cache, object);
  checkSlabs(slabs);
}
