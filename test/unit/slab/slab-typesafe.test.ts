/** TYPESAFE_BY_RCU, and objects that RCU callbacks free. */

import { expect, test } from "vitest";
import { wordsIn } from "../../../src/memory/struct.ts";
import { FRAME_WORDS, type Pointer } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { PageType } from "../../../src/mm/pages/page.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { KmemCache, KmemCacheCpu } from "../../../src/mm/slab/kmem-cache.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { RcuHead } from "../../../src/sync/rcu-callbacks.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const OBJECT_BYTES = 4080;
const TYPED = 0x7e11;

function typesafe(): Kernels & { cache: Pointer; typeOf(page: number): number } {
  const machine = kernelsOf({ cpus: 2 });
  const constructs = machine.kernels.map(({ functions, memory }) =>
    functions.register("construct", (_cpu, object) => memory.write(object, TYPED)),
  );
  const [{ slabs, memory, pages }] = machine.kernels;
  const flags = SlabFlag.TYPESAFE_BY_RCU;
  const cache = slabs.create({ name: "typed", objectBytes: OBJECT_BYTES, flags, construct: constructs[0] });
  memory.write(cache + KmemCache.minPartial, 0);
  const typeOf = (pfn: number): number => memory.read(pages.frames.pageOf(pfn) + 3) & 0xff;
  return { ...machine, cache, typeOf };
}

test("the pages of a slab go back after a grace period, and an object stays of its type until then", () => {
  const t = typesafe();
  const [{ slabs, memory, rcu, cpu }, other] = t.kernels;
  const object = slabs.alloc(t.cache, Gfp.KERNEL);
  const pfn = Math.floor(object / FRAME_WORDS);
  expect(memory.read(object)).toBe(TYPED);
  other.rcu.readLock();
  slabs.free(t.cache, object);
  expect(slabs.shrink(t.cache)).toBe(true);
  cpu.endOperation();
  expect([memory.read(object), t.typeOf(pfn)]).toEqual([TYPED, PageType.SLAB]);
  other.rcu.readUnlock();
  rcu.barrier();
  expect(t.typeOf(pfn)).not.toBe(PageType.SLAB);
  t.check();
});

test("destroy waits for the slabs' callbacks before it frees the structure that they read", () => {
  const t = typesafe();
  const [{ slabs }] = t.kernels;
  const before = t.check();
  for (const object of [1, 2, 3].map(() => slabs.alloc(t.cache, Gfp.KERNEL))) slabs.free(t.cache, object);
  expect(slabs.destroy(t.cache)).toBe(true);
  expect(t.check()).toBe(before);
  expect(checkSlabs(slabs).map(({ name }) => name)).not.toContain("typed");
});

test("a CPU that leaves gives up what the callbacks that it still runs have freed", () => {
  const machine = kernelsOf({ cpus: 2 });
  const [first, last] = machine.kernels;
  const { slabs, memory, rcu, perCpu } = last;
  const cache = slabs.create({ name: "freed", objectBytes: 64 });
  const typed = slabs.create({ name: "typed", objectBytes: 4000, flags: SlabFlag.TYPESAFE_BY_RCU });
  memory.write(typed + KmemCache.minPartial, 0);
  const free = machine.kernels.map((kernel) =>
    kernel.functions.register("free_both", (_cpu, head) => {
      kernel.slabs.free(typed, memory.read(head + wordsIn(RcuHead)));
      kernel.slabs.free(cache, head);
    }),
  )[1];
  const object = slabs.alloc(cache, Gfp.KERNEL);
  memory.write(object + wordsIn(RcuHead), slabs.alloc(typed, Gfp.KERNEL));
  slabs.leave();
  rcu.call(object, free);
  first.takeDown();
  last.takeDown();
  for (const each of [cache, typed]) {
    const own = perCpu.of(memory.read(each + KmemCache.cpuSlab), 1);
    expect([memory.read(own + KmemCacheCpu.slab), memory.read(own + KmemCacheCpu.partial)]).toEqual([0, 0]);
  }
  // The typed slab went back although its CPU had left RCU: nobody could be reading.
  const counts = checkSlabs(slabs).filter(({ cache: c }) => c === cache || c === typed);
  expect(counts.map(({ slabs: n, active }) => [n, active])).toEqual([
    [1, 0],
    [0, 0],
  ]);
  machine.check();
});
