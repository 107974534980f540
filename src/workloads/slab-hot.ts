/**
 * Every CPU allocates and frees one object again and again: the fast path of the object allocator, and nothing else.
 *
 * Linux: Jesper Dangaard Brouer's time_bench_kmem_cache1 measures the same ("kmem_cache fastpath reuse"), as Christoph
 * Lameter's slab test did before.  The first pair, which makes the CPU's slab, comes before the measured ones.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import {
  CACHE_OPTIONS,
  endCache,
  makeCache,
  type ObjectCache,
  ObjectUser,
  STRESS_DEFAULTS,
} from "./parts/object-cache.ts";
import { GFP } from "./parts/page-share.ts";

export const describe: WorkloadDescription = {
  name: "slab-hot",
  summary: "Every CPU allocates and frees one object again and again.",
  phases: ["pair"],
  operation: "one pair: an object allocated and freed",
  options: CACHE_OPTIONS,
  stressDefaults: STRESS_DEFAULTS,
};

export const setup = (kernel: Kernel, options: ProgramOptions): ObjectCache =>
  makeCache(kernel, options, "slab-hot");

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu, slabs } = kernel;
  const { cache } = shared as ObjectCache;
  const user = new ObjectUser(kernel, options);
  const first = user.alloc(cache);
  if (first !== 0) user.free(cache, first);
  kernel.phase("pair", () => {
    let done = 0;
    if (user.isPlain) {
      // Written out: with options between, they would be a good part of what is measured.
      for (; kernel.more(done); done++) {
        const object = slabs.alloc(cache, GFP);
        if (object !== 0) slabs.free(cache, object);
        else user.countFailure();
        cpu.endOperation();
      }
      return done;
    }
    for (; kernel.more(done); done++) {
      const object = user.alloc(cache);
      if (object !== 0) user.free(cache, object);
      cpu.endOperation();
    }
    return done;
  });
  return user.failed;
}

export { endCache as check };
