/**
 * Every CPU takes memory and gives it back, except for some objects: at first one in ten, then five in a millisecond however
 * fast the host is; and a little of another size, which stays level.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";

const LEAK_BYTES = 40;
const LEVEL_BYTES = 400;
/** Of so many operations one in ten leaks; later it goes by the clock. */
const FIRST = 1000;
const LEAK_EVERY_NS = 200_000;

export function run(kernel: Kernel): number {
  const { heap, cpu } = kernel;
  let done = 0;
  let leaked = 0;
  let nextNs = cpu.nowNs();
  for (; kernel.more(done); done++) {
    const level = heap.kmalloc(LEVEL_BYTES, Gfp.KERNEL);
    const object = heap.kmalloc(LEAK_BYTES, Gfp.KERNEL | GfpFlag.NOWARN);
    heap.kfree(level);
    const nowNs = cpu.nowNs();
    const leaks = done < FIRST ? done % 10 === 0 : nowNs >= nextNs;
    if (!leaks) heap.kfree(object);
    else {
      nextNs = nowNs + LEAK_EVERY_NS;
      leaked++;
    }
    cpu.endOperation();
  }
  return leaked;
}
