/** Which of many allocations fail: run by in-shape.ts on a thread whose shape has fault injection. */

import { Gfp, GfpFlag } from "../../src/mm/pages/gfp.ts";
import type { FaultSettings } from "../../src/mm/slab/failslab.ts";
import { kernelsOf } from "./kernels.ts";

const REQUESTS = 24;

/** Indexes of the failing ones of 24 allocations of 64 bytes. */
function failing(settings: Partial<FaultSettings>, gfp: number): { failed: number[]; counted: number } {
  const { kernels, check } = kernelsOf({ cpus: 1, seed: 5 });
  const { slabs, failslab } = kernels[0];
  const cache = slabs.create({ name: "objects", objectBytes: 64 });
  failslab.set(settings);
  const failed: number[] = [];
  for (let i = 0; i < REQUESTS; i++) if (slabs.alloc(cache, gfp) === 0) failed.push(i);
  check();
  return { failed, counted: failslab.failures };
}

const always = { probability: 100, times: -1, ignoreGfpReclaim: false };

export const cases = (): unknown => ({
  byDefault: failing({}, Gfp.ATOMIC),
  always: failing(always, Gfp.KERNEL),
  everyFifth: failing({ ...always, interval: 5 }, Gfp.KERNEL),
  threeTimes: failing({ ...always, times: 3 }, Gfp.KERNEL),
  afterSpace: failing({ ...always, space: 10 * 64 }, Gfp.KERNEL),
  reclaimSpared: failing({ probability: 100, times: -1 }, Gfp.KERNEL),
  atomicNot: failing({ probability: 100, times: -1 }, Gfp.ATOMIC),
  noFail: failing(always, Gfp.KERNEL | GfpFlag.NOFAIL),
  third: failing({ ...always, probability: 33 }, Gfp.KERNEL),
  thirdAgain: failing({ ...always, probability: 33 }, Gfp.KERNEL),
});

/** A bulk request fails as a whole, and a request by size as any other. */
export function otherDoors(): unknown {
  const { kernels } = kernelsOf({ cpus: 1 });
  const { slabs, heap, failslab } = kernels[0];
  const cache = slabs.create({ name: "objects", objectBytes: 64 });
  heap.start();
  failslab.set(always);
  const into: number[] = [];
  return {
    bulk: slabs.allocBulk(cache, Gfp.KERNEL, 4, into),
    into,
    node: slabs.allocNode(cache, Gfp.KERNEL, 0),
    size: heap.kzalloc(100, Gfp.KERNEL),
    large: heap.kmalloc(20_000, Gfp.KERNEL) !== 0,
    failures: failslab.failures,
  };
}
