/**
 * CPUs ask kmalloc for a size whose cache is not there yet: one makes it, the others wait for it and use the same.  All
 * other caches are there, so that an execution stays short.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkKmalloc } from "../mm/slab/check-kmalloc.ts";
import { KmallocGlobals } from "../mm/slab/kmalloc.ts";
import { KMALLOC_MAX_CACHE_BYTES, KMALLOC_SIZES } from "../mm/slab/kmalloc-index.ts";
import { KMALLOC_TYPES, KmallocType } from "../mm/slab/kmalloc-type.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "kmalloc-first-use",
  summary: "CPUs ask kmalloc at once for a size whose cache has still to be made; it is made once",
  cpus: 2,
  mutants: ["kmalloc-start-unlocked"],
};

/** The table's last entry: kmalloc-cg-8k. */
const LAST = KMALLOC_TYPES * KMALLOC_SIZES.length - 1;

export function setup({ heap, slabs, memory }: Kernel): null {
  heap.start();
  const last = heap.cacheAt(KmallocType.CGROUP, KMALLOC_SIZES.length - 1);
  if (last === 0 || !slabs.destroy(last)) bug("the last of kmalloc's caches cannot be taken away");
  memory.write(heap.globals + KmallocGlobals.caches + LAST, 0);
  return null;
}

/** Names the table, for reports. */
export function attach({ regions, heap }: Kernel): void {
  regions.add("kmalloc_globals", heap.globals, KmallocGlobals);
}

export function run({ heap, cpu }: Kernel): void {
  const object = heap.kmalloc(KMALLOC_MAX_CACHE_BYTES, Gfp.KERNEL_ACCOUNT);
  if (object === 0) bug(`cpu ${cpu.id}: no memory for ${KMALLOC_MAX_CACHE_BYTES} bytes`);
  heap.kfree(object);
}

export function check({ heap, pages }: Kernel): void {
  checkKmalloc(heap, pages);
}
