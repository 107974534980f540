/**
 * Every CPU takes a burst of objects, then gives them all back: slabs become full and empty again, so that the paths
 * behind the fast one (partial slabs, refills, flushes, new slabs) come into play.  How far depends on the burst.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import type { Pointer } from "../memory/units.ts";
import type { MetricsValue, WorkloadDescription } from "./description.ts";
import {
  CACHE_OPTIONS,
  endCache,
  makeCache,
  type ObjectCache,
  ObjectUser,
  STRESS_DEFAULTS,
} from "./parts/object-cache.ts";

export const describe: WorkloadDescription = {
  name: "slab-burst",
  summary: "Every CPU takes a burst of objects, then gives them all back.",
  phases: ["burst"],
  operation: "one object allocated and, after the others of its burst, freed",
  options: {
    ...CACHE_OPTIONS,
    burst: { type: "integer", default: 256, min: 1, max: 100_000, help: "objects of a burst" },
    back: {
      type: "choice",
      default: "oldest-first",
      choices: ["oldest-first", "newest-first"],
      help: "in which order they go back",
    },
  },
  stressDefaults: STRESS_DEFAULTS,
};

export const setup = (kernel: Kernel, options: ProgramOptions): ObjectCache =>
  makeCache(kernel, options, "slab-burst");

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu } = kernel;
  const { cache } = shared as ObjectCache;
  const user = new ObjectUser(kernel, options);
  const newestFirst = options.back === "newest-first";
  const held: Pointer[] = new Array(options.burst as number).fill(0);
  const burst = (size: number): number => {
    let count = 0;
    for (let i = 0; i < size; i++) {
      const object = user.alloc(cache);
      if (object !== 0) held[count++] = object;
      cpu.endOperation();
    }
    for (let i = 0; i < count; i++) {
      user.free(cache, held[newestFirst ? count - 1 - i : i]);
      cpu.endOperation();
    }
    return count;
  };
  // The first one takes pages that later ones find on partial lists.
  burst(held.length);
  kernel.phase("burst", () => {
    let tried = 0;
    let done = 0;
    // One at least: with a slow allocator the one before may have taken all the time there was.
    do {
      const size = Math.min(held.length, kernel.operationLimit - tried);
      done += burst(size);
      tried += size;
    } while (kernel.more(tried));
    return done;
  });
  return user.failed;
}

export { endCache as check };
