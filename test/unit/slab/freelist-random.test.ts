/** Objects of a new slab in a random order. */

import { expect, test } from "vitest";
import type { MachineConfig } from "../../../src/machine/config.ts";
import { FRAME_WORDS, type Pointer } from "../../../src/memory/units.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";
import { type Kernels, kernelsOf } from "../../support/kernels.ts";

const IN_SLAB = 64;

interface Slabs extends Kernels {
  readonly cache: Pointer;
  /** The places of a new slab's objects, as they are handed out. */
  slab(): number[];
}

function scene(config: Partial<MachineConfig> = {}, flags = 0): Slabs {
  const machine = kernelsOf({ cpus: 2, slabRandom: true, ...config });
  const [{ slabs }] = machine.kernels;
  const cache = slabs.create({ name: "random", objectBytes: 64, flags });
  const slab = (): number[] =>
    Array.from({ length: IN_SLAB }, () => (slabs.alloc(cache, Gfp.KERNEL) % FRAME_WORDS) / 16);
  return { ...machine, cache, slab };
}

const inOrder = Array.from({ length: IN_SLAB }, (_, i) => i);
const sorted = (places: readonly number[]): number[] => places.toSorted((a, b) => a - b);

test("every object comes once, each slab begins elsewhere in one sequence, and the seed decides", () => {
  const s = scene();
  const [first, second] = [s.slab(), s.slab()];
  expect(sorted(first)).toEqual(inOrder);
  expect(first).not.toEqual(inOrder);
  expect(sorted(second)).toEqual(inOrder);
  const turn = first.indexOf(second[0]);
  expect(turn).toBeGreaterThan(0);
  expect([...first.slice(turn), ...first.slice(0, turn)]).toEqual(second);
  s.check();
  expect(scene().slab()).toEqual(first);
  expect(scene({ slabRandom: false }).slab()).toEqual(inOrder);
});

test("a slab of a smaller order has the places that it has", () => {
  const machine = kernelsOf({ cpus: 1, slabRandom: true, memory: "4MiB" });
  const [{ slabs, pages, memory }] = machine.kernels;
  const cache = slabs.create({ name: "large", objectBytes: 1024 });
  const held: number[] = [];
  for (let pfn = 1; pfn !== 0; ) {
    pfn = pages.allocPage(Gfp.NOWAIT | GfpFlag.MEMALLOC);
    if (pfn !== 0) held.push(pfn);
  }
  for (const pfn of held) if (pfn % 2 === 0) pages.freePage(pfn);
  const objects = Array.from({ length: 4 }, () => slabs.alloc(cache, Gfp.KERNEL));
  expect(memory.read(slabs.slabs.slabOf(objects[0]) + 3) >> 8).toBe(0);
  expect(sorted(objects.map((object) => (object % FRAME_WORDS) / 256))).toEqual([0, 1, 2, 3]);
  machine.check();
});

test("constructors and debugging see every object, and the sequence's pages come back", () => {
  const s = scene({ slabDebug: "FZPU,other" });
  const [{ slabs, memory, functions }] = s.kernels;
  s.kernels[1].functions.register("construct", () => {});
  const construct = functions.register("construct", (_cpu, object) => memory.write(object, 77));
  slabs.destroy(slabs.create({ name: "warm", objectBytes: 200, flags: SlabFlag.NO_MERGE }));
  const before = s.check();
  for (const name of ["made", "other"]) {
    const cache = slabs.create({ name, objectBytes: 200, construct });
    const objects = Array.from({ length: 50 }, () => slabs.alloc(cache, Gfp.KERNEL));
    expect(objects.every((object) => memory.read(object) === 77)).toBe(true);
    expect(slabs.validate(cache).errors).toBe(0);
    slabs.freeBulk(cache, objects);
    expect(slabs.destroy(cache)).toBe(true);
  }
  expect(s.check()).toBe(before);
  expect(s.kernels.flatMap((kernel) => kernel.takeLog())).toEqual([]);
});
