/** One CPU frees the objects of a full slab that is not its own, but for the first and the last of them. */

import type { Kernel } from "../../src/machine/kernel.ts";

const GFP_KERNEL = 0xcc0;
/** So small that a slab of one page has many. */
const OBJECT_BYTES = 8;
const IN_SLAB = 512;
const FRAME_SHIFT = 10;

export const setup = (kernel: Kernel): number =>
  kernel.slabs.create({ name: "remote-frees", objectBytes: OBJECT_BYTES });

export function run(kernel: Kernel, _options: unknown, shared: unknown): void {
  const { slabs, cpu } = kernel;
  const cache = shared as number;
  for (let done = 0, found = false; !found || kernel.more(done); ) {
    const objects = Array.from({ length: 4 * IN_SLAB }, () => slabs.alloc(cache, GFP_KERNEL));
    const current = objects[objects.length - 1] >> FRAME_SHIFT;
    const bySlab = Map.groupBy(objects, (object) => object >> FRAME_SHIFT);
    const full = [...bySlab].find(([slab, own]) => own.length === IN_SLAB && slab !== current)?.[1] ?? [];
    found = full.length > 0;
    for (const object of objects) if (!full.includes(object)) slabs.free(cache, object);
    if (full.length > 0) slabs.free(cache, full[0]);
    kernel.phase("frees", () => {
      for (let i = 1; i < full.length - 1; i++) slabs.free(cache, full[i]);
      return Math.max(0, full.length - 2);
    });
    if (full.length > 0) slabs.free(cache, full[full.length - 1]);
    done += IN_SLAB;
    cpu.endOperation();
  }
}

export function check(kernel: Kernel, _options: unknown, _values: unknown, shared: unknown): void {
  kernel.slabs.destroy(shared as number);
}
