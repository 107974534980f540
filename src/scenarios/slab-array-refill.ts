/**
 * SLAB: CPUs with empty arrays fill them from the same node at once, from slabs or from what is shared.  No object may be
 * given twice, and the node's counts must agree with its lists.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import type { CacheRef } from "../mm/slab/kmem-cache.ts";
import { ArrayCache, SlabCache, SlabNode } from "../mm/slab/slab/structures.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-array-refill",
  summary: "CPUs fill their arrays from the same node's slabs at once; no object is given twice",
  cpus: 2,
  slab: "slab",
  mutants: ["slab-refill-unlocked"],
  stepLimit: 3000,
};

/** Four objects in a slab. */
const OBJECT_BYTES = 1024;
const EACH = 2;

const Taken = struct("taken", { object: word("atomic", "pointer:object") });

interface Shared {
  readonly cache: CacheRef;
  /** What each CPU has taken, EACH words a CPU. */
  readonly taken: Pointer;
}

/** Slabs with some objects free, and arrays that move two at a time. */
export function setup({ slabs, memory, perCpu, pages, cpus }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const objects = Array.from({ length: 4 * EACH * cpus }, () => slabs.alloc(cache, Gfp.KERNEL));
  const taken = pages.getZeroedPage(Gfp.KERNEL);
  if (objects.includes(0) || taken === 0) bug(`no memory for ${objects.length} objects and a page`);
  for (let i = 0; i < objects.length; i += 2) slabs.free(cache, objects[i]);
  slabs.leave();
  for (let cpu = 0; cpu < cpus; cpu++)
    memory.write(perCpu.of(memory.read(cache + SlabCache.cpuSlab), cpu) + ArrayCache.batchCount, EACH);
  return { cache, taken };
}

/** Names the cache's words, for reports. */
export function attach({ regions, memory, cpus }: Kernel, _options: object, { cache, taken }: Shared): void {
  regions.add("kmem_cache", cache, SlabCache);
  regions.add("kmem_cache_node", memory.read(cache + SlabCache.nodes), SlabNode);
  regions.add("taken", taken, Taken, EACH * cpus);
}

export function run({ slabs, memory, cpu }: Kernel, _options: object, { cache, taken }: Shared): void {
  for (let i = 0; i < EACH; i++) memory.store(taken + EACH * cpu.id + i, slabs.alloc(cache, Gfp.KERNEL));
}

export function check(
  { slabs, memory, cpus }: Kernel,
  _options: object,
  _values: unknown,
  { cache, taken }: Shared,
): void {
  const objects = Array.from({ length: EACH * cpus }, (_, i) => memory.read(taken + i));
  if (new Set([...objects, 0]).size !== objects.length + 1)
    bug(`objects ${objects.join(", ")} were taken: one was given twice, or none`);
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  const active = 2 * EACH * cpus + objects.length;
  if (count?.active !== active) bug(`${count?.active} objects are in use, there should be ${active}`);
}
