/**
 * A reader looks at an object of a TYPESAFE_BY_RCU cache that another CPU frees, with the last of its slab, whose pages
 * that CPU would like to use for something else.  While the reader's section lasts the object must stay of its type: what
 * the constructor has written stays there.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { struct, word } from "../memory/struct.ts";
import { FRAME_WORDS, frameOf, type Pointer } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import { checkSlabs } from "../mm/slab/check-slabs.ts";
import { type CacheRef, KmemCache } from "../mm/slab/kmem-cache.ts";
import { SlabFlag } from "../mm/slab/slab-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "slab-typesafe",
  summary: "a reader looks at an object that is freed, with its slab: it must stay of its type for so long",
  cpus: 2,
  // Below that all pages are of one type, and those that are freed wait where nobody looks.
  memory: "16MiB",
  mutants: ["slab-free-before-grace"],
};

const Published = struct("published", { object: word("atomic", "pointer:object") });
const published = Published;
/** Few in a slab of one page. */
const OBJECT_BYTES = 320;
/** The word of an object that says its type. */
const TYPE = 3;
const TYPED = 0x7e11;
const FOREIGN = 0xbad;
/** The page waits on the list of one of them. */
const TYPES = [0, GfpFlag.MOVABLE];
const LOOKS = 160;

interface Shared {
  readonly cache: CacheRef;
  readonly at: Pointer;
}

function registerConstructor({ functions, memory }: Kernel): number {
  return functions.register("scenario_construct", function construct(_cpu, object) {
    memory.write(object + TYPE, TYPED);
  });
}

export function setup(kernel: Kernel): Shared {
  const { slabs, pages, memory } = kernel;
  const construct = registerConstructor(kernel);
  const flags = SlabFlag.TYPESAFE_BY_RCU;
  const cache = slabs.create({ name: "scenario", objectBytes: OBJECT_BYTES, flags, construct });
  const object = slabs.alloc(cache, Gfp.KERNEL);
  const at = pages.getZeroedPage(Gfp.KERNEL);
  if (object === 0 || at === 0) bug("no memory for an object and a page");
  // An empty slab goes back at once.
  memory.write(cache + KmemCache.minPartial, 0);
  memory.store(at + published.object, object);
  return { cache, at };
}

export function attach(kernel: Kernel, _options: object, { at }: Shared): void {
  kernel.regions.add("published", at, Published);
  if (kernel.cpu.id !== 0) registerConstructor(kernel);
}

export function run(kernel: Kernel, _options: object, shared: Shared): void {
  if (kernel.cpu.id === 0) retire(kernel, shared);
  else look(kernel, shared);
}

/** Frees the object, and uses the pages that can be had then. */
function retire({ memory, pages, rcu, slabs }: Kernel, { cache, at }: Shared): void {
  const object = memory.exchange(at + published.object, 0);
  slabs.free(cache, object);
  slabs.leave();
  for (const type of TYPES) {
    const pfn = pages.allocPage(Gfp.NOWAIT | type);
    if (pfn !== 0) memory.fill(frameOf(pfn), FRAME_WORDS, FOREIGN);
  }
  rcu.barrier();
}

function look({ memory, rcu, cpu }: Kernel, { at }: Shared): void {
  rcu.readLock();
  const object = rcu.dereference(at + published.object);
  for (let left = object === 0 ? 0 : LOOKS; left > 0; left--) {
    const type = memory.read(object + TYPE);
    if (type !== TYPED)
      bug(
        `cpu ${cpu.id} reads type 0x${type.toString(16)} in its read section: the object's pages were given back`,
      );
    cpu.poll();
  }
  rcu.readUnlock();
  cpu.endOperation();
}

export function check({ slabs }: Kernel, _options: object, _values: unknown, { cache }: Shared): void {
  const count = checkSlabs(slabs).find((entry) => entry.cache === cache);
  if (count?.slabs !== 0) bug(`the cache has ${count?.slabs} slabs after the grace period`);
}
