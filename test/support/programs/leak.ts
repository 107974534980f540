/** Every CPU takes memory and gives it back, except for one object in ten; and a little of another size, which stays level. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";

const LEAK_BYTES = 40;
const LEVEL_BYTES = 400;

export function run(kernel: Kernel): number {
  const { heap, cpu } = kernel;
  let done = 0;
  let leaked = 0;
  for (; kernel.more(done); done++) {
    const level = heap.kmalloc(LEVEL_BYTES, Gfp.KERNEL);
    const object = heap.kmalloc(LEAK_BYTES, Gfp.KERNEL | GfpFlag.NOWARN);
    heap.kfree(level);
    // Slowly enough that a small machine outlasts a test.
    if (done % 10 !== 0 || leaked >= 20_000) heap.kfree(object);
    else leaked++;
    cpu.endOperation();
  }
  return leaked;
}
