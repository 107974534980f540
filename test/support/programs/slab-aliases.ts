/**
 * Every CPU makes caches of one size under names of its own, takes and frees objects, and ends them: they all are one cache, which
 * comes and goes.  At the end none is left.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";

const OBJECTS = 5;

/** How often a cache was another CPU's, too. */
export function run(kernel: Kernel): number {
  const { cpu, memory, slabs } = kernel;
  let shared = 0;
  for (let done = 0; kernel.more(done); done++) {
    const cache = slabs.create({ name: `alias-${cpu.id}`, objectBytes: 192 - (cpu.id % 4) });
    if (cache === 0) throw new Error("no memory for a cache");
    const objects = Array.from({ length: OBJECTS }, (): Pointer => slabs.alloc(cache, Gfp.KERNEL));
    for (const object of objects) memory.write(object, cpu.id + 1);
    if (slabs.merge.namesOf(cache).length > 0) shared++;
    for (const object of objects) {
      if (memory.read(object) !== cpu.id + 1) throw new Error(`object ${object} was written to by others`);
      slabs.free(cache, object);
    }
    if (!slabs.destroy(cache)) throw new Error("a cache could not be ended");
    cpu.endOperation();
  }
  return shared;
}

export function check(kernel: Kernel, _options: object, values: readonly unknown[]): void {
  const left = checkSlabs(kernel.slabs);
  if (left.length !== 2) throw new Error(`${left.length} caches are left`);
  if (values.every((shared) => shared === 0)) throw new Error("no cache was ever shared");
}
