/**
 * SLOB: CPUs free blocks of the same pages and take new ones at once.  The free blocks must stay in order and add up, and
 * no block be given twice.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { struct, word } from "../memory/struct.ts";
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
  stepLimit: 3000,
};

const OBJECT_BYTES = 512;
const EACH = 2;

const Taken = struct("taken", { object: word("atomic", "pointer:object") });

interface Shared {
  readonly cache: CacheRef;
  /** Side by side in one page: CPU 0 frees every second one, and so on. */
  readonly objects: readonly Pointer[];
  /** What each CPU has taken in the end. */
  readonly taken: Pointer;
}

export function setup({ slabs, pages, cpus }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const objects = Array.from({ length: EACH * cpus }, () => slabs.alloc(cache, Gfp.KERNEL));
  const taken = pages.getZeroedPage(Gfp.KERNEL);
  if (objects.includes(0) || taken === 0) bug(`no memory for ${objects.length} objects and a page`);
  return { cache, objects, taken };
}

/** Names the cache's words, for reports. */
export function attach({ regions, cpus }: Kernel, _options: object, { cache, taken }: Shared): void {
  regions.add("kmem_cache", cache, SlobCache);
  regions.add("taken", taken, Taken, cpus);
}

export function run({ slabs, memory, cpu, cpus }: Kernel, _options: object, shared: Shared): void {
  const { cache, objects, taken } = shared;
  for (let i = 0; i < EACH; i++) slabs.free(cache, objects[i * cpus + cpu.id]);
  memory.store(taken + cpu.id, slabs.alloc(cache, Gfp.KERNEL));
}

/** One block a CPU is out: the page's other units are free. */
export function check(
  { slabs, memory, cpus }: Kernel,
  _options: object,
  _values: unknown,
  { cache, taken }: Shared,
): void {
  const objects = Array.from({ length: cpus }, (_, cpu) => memory.read(taken + cpu));
  if (new Set([...objects, 0]).size !== cpus + 1)
    bug(`objects ${objects.join(", ")} were taken: one was given twice, or none`);
  checkSlabs(slabs);
  for (const object of objects) slabs.free(cache, object);
  checkSlabs(slabs);
}
