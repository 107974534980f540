/** Every CPU takes objects in bulk and gives them back in bulk: what one call for many saves. */

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
  name: "slab-bulk",
  summary: "Every CPU takes objects in bulk and gives them back in bulk.",
  phases: ["bulk"],
  operation: "one object allocated and freed",
  options: {
    ...CACHE_OPTIONS,
    bulk: { type: "integer", default: 16, min: 1, max: 10_000, help: "objects of a call" },
  },
  stressDefaults: STRESS_DEFAULTS,
};

export const setup = (kernel: Kernel, options: ProgramOptions): ObjectCache =>
  makeCache(kernel, options, "slab-bulk");

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): MetricsValue {
  const { cpu } = kernel;
  const { cache } = shared as ObjectCache;
  const user = new ObjectUser(kernel, options);
  const objects: Pointer[] = [];
  const bulk = (size: number): number => {
    user.allocBulk(cache, size, objects);
    const count = objects.length;
    user.freeBulk(cache, objects);
    objects.length = 0;
    cpu.endOperation();
    return count;
  };
  bulk(options.bulk as number);
  kernel.phase("bulk", () => {
    let tried = 0;
    let done = 0;
    while (kernel.more(tried)) {
      const size = Math.min(options.bulk as number, kernel.operationLimit - tried);
      done += bulk(size);
      tried += size;
    }
    return done;
  });
  return user.failed;
}

export { endCache as check };
