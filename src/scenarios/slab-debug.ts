/**
 * CPUs take and free objects of a cache with debugging at once: every object is looked at under its node's lock, and none
 * may be found damaged.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import { type CacheRef, KmemCache, KmemCacheNode } from "../mm/slab/kmem-cache.ts";
import { SlabFlag } from "../mm/slab/slab-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-debug",
  summary: "CPUs take and free objects of one slab with red zones, poison and tracks; no report may come",
  cpus: 2,
  mutants: ["slub-debug-unlocked"],
};

/** Few words to look at. */
const OBJECT_BYTES = 24;
const { CONSISTENCY_CHECKS, RED_ZONE, POISON, STORE_USER } = SlabFlag;

interface Shared {
  readonly cache: CacheRef;
  /** One each CPU frees. */
  readonly objects: readonly Pointer[];
}

export function setup({ slabs, cpus }: Kernel): Shared {
  const flags = CONSISTENCY_CHECKS | RED_ZONE | POISON | STORE_USER;
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES, flags });
  const objects = Array.from({ length: cpus }, () => slabs.alloc(cache, Gfp.KERNEL));
  if (objects.includes(0)) bug(`no memory for ${objects.length} objects of ${OBJECT_BYTES} bytes`);
  return { cache, objects };
}

export function attach({ regions, memory }: Kernel, _options: object, { cache }: Shared): void {
  regions.add("kmem_cache", cache, KmemCache);
  regions.add("kmem_cache_node", memory.read(cache + KmemCache.nodes), KmemCacheNode);
}

export function run(kernel: Kernel, _options: object, { cache, objects }: Shared): void {
  const { slabs, cpu } = kernel;
  slabs.free(cache, objects[cpu.id]);
  if (slabs.alloc(cache, Gfp.KERNEL) === 0) bug(`cpu ${cpu.id} was given no object, although some are free`);
  const report = kernel.takeLog();
  if (report.length > 0) bug(`cpu ${cpu.id} reports: ${report.join(" | ")}`);
}

export function check({ slabs, cpus }: Kernel, _options: object, _values: unknown, { cache }: Shared): void {
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  if (count?.active !== cpus) bug(`${count?.active} objects are in use, there should be ${cpus}`);
}
