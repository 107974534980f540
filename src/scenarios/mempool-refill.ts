/**
 * CPUs share a pool of one element over an allocator that has run dry.  Each returns what it has and then asks again: two
 * may find the same place of the reserve free, and all but one must wait until an element comes back.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { KMALLOC_MAX_BYTES } from "../mm/slab/kmalloc-index.ts";
import { Mempool, type MempoolRef } from "../mm/slab/mempool.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "mempool-refill",
  summary:
    "CPUs return elements to a pool with room for one and ask again; no place is filled twice, all get one",
  cpus: 2,
  mutants: ["mempool-no-recheck"],
};

const ELEMENT_BYTES = 64;

interface Shared {
  readonly pool: MempoolRef;
  /** One a CPU: the last has that of the reserve, the others come from behind. */
  readonly elements: readonly Pointer[];
}

export function setup({ mempools, memory, cpus }: Kernel): Shared {
  const pool = mempools.createKmallocPool(1, ELEMENT_BYTES);
  const elements = Array.from({ length: cpus }, (_, cpu) =>
    cpu === cpus - 1 ? mempools.allocPreallocated(pool) : mempools.alloc(pool, Gfp.KERNEL),
  );
  if (pool === 0 || elements.includes(0)) bug(`no memory for ${cpus} elements of ${ELEMENT_BYTES} bytes`);
  // From here on the pool asks kmalloc for what it never has.
  memory.write(pool + Mempool.poolData, KMALLOC_MAX_BYTES + 1);
  return { pool, elements };
}

/** Names the pool's words, for reports. */
export function attach({ regions }: Kernel, _options: object, { pool }: Shared): void {
  regions.add("mempool", pool, Mempool);
}

export function run({ mempools, cpu }: Kernel, _options: object, { pool, elements }: Shared): void {
  mempools.free(pool, elements[cpu.id]);
  const element = mempools.alloc(pool, Gfp.KERNEL);
  if (element === 0) bug(`cpu ${cpu.id} got nothing from a pool that it may wait for`);
  mempools.free(pool, element);
}

export function check({ mempools }: Kernel, _options: object, _values: unknown, { pool }: Shared): void {
  mempools.check(pool, true);
}
