/**
 * Objects of a TYPESAFE_BY_RCU cache are published, replaced and freed without waiting, while every CPU reads them in read
 * sections; their pages go back all the time, and are written to by who gets them.  Whatever a reader finds is of its type.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { frameOf } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KmemCache } from "../../../src/mm/slab/kmem-cache.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";

const SLOTS = 2;
/** One object in a slab. */
const ORDER = 3;
const OBJECT_BYTES = 20_000;
/** As long as it takes to free an object and its page. */
const LOOKS = 10_000;
const TYPED = 0x7e11;

interface Shared {
  readonly slots: Pointer;
  readonly cache: Pointer;
}

const register = ({ functions, memory }: Kernel): number =>
  functions.register("program_construct", (_cpu, object) => memory.write(object, TYPED));

export function setup(kernel: Kernel): Shared {
  const { memory, pages, slabs } = kernel;
  const construct = register(kernel);
  const flags = SlabFlag.TYPESAFE_BY_RCU;
  const cache = slabs.create({ name: "typed", objectBytes: OBJECT_BYTES, flags, construct });
  memory.write(cache + KmemCache.minPartial, 0);
  return { slots: pages.getZeroedPage(Gfp.KERNEL), cache };
}

export function attach(kernel: Kernel): null {
  if (kernel.cpu.id !== 0) register(kernel);
  return null;
}

export function run(kernel: Kernel, _options: object, shared: unknown): number {
  const { cpu, memory, pages, rcu, slabs } = kernel;
  const { slots, cache } = shared as Shared;
  const { random } = cpu;
  let found = 0;
  for (let done = 0; kernel.more(done); done++) {
    const slot = slots + random.below(SLOTS);
    if (random.below(2) === 0) {
      rcu.readLock();
      const object = rcu.dereference(slot);
      for (let left = object === 0 ? 0 : LOOKS; left > 0; left--) {
        const type = memory.load(object);
        if (type !== TYPED) throw new Error(`cpu ${cpu.id} reads type ${type} of word ${object}`);
      }
      if (object !== 0) found++;
      rcu.readUnlock();
    } else {
      const old = memory.exchange(slot, slabs.alloc(cache, Gfp.KERNEL));
      if (old !== 0) slabs.free(cache, old);
      // This CPU's slabs alone: a flush of all waits for readers.
      slabs.leave();
      // The page waits on the list of one of the types.
      for (const type of [0, GfpFlag.MOVABLE]) {
        const pfn = pages.allocPages(Gfp.KERNEL | type, ORDER);
        memory.write(frameOf(pfn), 0xbad);
        pages.freePages(pfn, ORDER);
      }
    }
    cpu.endOperation();
  }
  return found;
}

export function check(kernel: Kernel, _options: object, values: readonly unknown[], shared: unknown): void {
  const { memory, slabs, pages } = kernel;
  const { slots, cache } = shared as Shared;
  if (values.every((found) => found === 0)) throw new Error("no reader ever found an object");
  for (let i = 0; i < SLOTS; i++) {
    const object = memory.read(slots + i);
    if (object !== 0) slabs.free(cache, object);
  }
  if (!slabs.destroy(cache)) throw new Error("the cache could not be ended");
  pages.freePagesAt(slots, 0);
  if (checkSlabs(slabs).some(({ name }) => name === "typed")) throw new Error("the cache is still there");
}
