/**
 * An interrupt comes while a CPU takes an object, and leaves that CPU's free list beginning with the same object as
 * before: it takes two and gives the first back.  The transaction id must tell.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import type { CacheRef } from "../mm/slab/kmem-cache.ts";
import type { FunctionId } from "../sync/functions.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-interrupted",
  summary: "an interrupt takes two objects and gives one back while its CPU takes one from the same list",
  cpus: 2,
  memory: "2MiB",
  mutants: ["slub-no-tid"],
};

const Kept = struct("kept", { object: word("atomic", "pointer:object") });
const OBJECT_BYTES = 64;
const ROUNDS = 3;
const TAKEN = 6;

interface Shared {
  readonly cache: CacheRef;
  /** What the interrupt keeps, one word a round. */
  readonly kept: Pointer;
}

export function setup({ slabs, pages }: Kernel): Shared {
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES });
  const kept = pages.getZeroedPage(Gfp.KERNEL);
  if (cache === 0 || kept === 0) bug("no memory for a cache and a page");
  return { cache, kept };
}

export function attach(
  { functions, slabs, memory, regions }: Kernel,
  _options: object,
  shared: Shared,
): FunctionId {
  const { cache, kept } = shared;
  regions.add("kept", kept, Kept, ROUNDS);
  return functions.register("scenario_take_two", function takeTwo(_cpu, round) {
    const first = slabs.alloc(cache, Gfp.ATOMIC);
    const second = slabs.alloc(cache, Gfp.ATOMIC);
    slabs.free(cache, first);
    memory.store(kept + round, second);
  });
}

export function run(kernel: Kernel, _options: object, { cache }: Shared, take: FunctionId): Pointer[] {
  const { cpu, cpus, calls, slabs } = kernel;
  if (cpu.id > 0) {
    for (let round = cpu.id - 1; round < ROUNDS; round += cpus - 1) calls.single(0, take, round, true);
    return [];
  }
  return Array.from({ length: TAKEN }, () => slabs.alloc(cache, Gfp.KERNEL));
}

export function check(
  { slabs, memory }: Kernel,
  _options: object,
  _values: unknown,
  { cache, kept }: Shared,
): void {
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  const objects = Array.from({ length: ROUNDS }, (_, round) => memory.read(kept + round));
  if (new Set(objects).size !== ROUNDS) bug(`objects ${objects.join(", ")} were kept: one was given twice`);
  const active = TAKEN + ROUNDS;
  if (count?.active !== active)
    bug(`${count?.active} objects are in use, ${active} were taken and not given back`);
}
