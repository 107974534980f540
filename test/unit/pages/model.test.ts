/**
 * The whole allocator against the simplest model: a set of frames in use.  Random requests of every order, type, zone
 * and node from several CPUs in turn, frees in any order by any CPU, drains, splits, updates; after each sequence all
 * invariants hold, and after everything is freed and drained the zones are as at boot.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";
import { type PageFixture, pageFixture, type ZoneSpec } from "../../support/page-fixture.ts";

const CPUS = 3;
const ZONES: readonly ZoneSpec[] = [
  { node: 0, index: 0, startPfn: 16, pages: 240, min: 4, batch: 1, highMin: 4, highMax: 8 },
  { node: 0, index: 1, startPfn: 256, pages: 3000, min: 16, batch: 7, highMin: 28, highMax: 200 },
  { node: 1, index: 2, startPfn: 4096, pages: 2500, min: 16, batch: 15, highMin: 60, highMax: 60 },
];

const GFPS = [
  Gfp.KERNEL,
  Gfp.ATOMIC,
  Gfp.NOWAIT,
  Gfp.HIGHUSER_MOVABLE,
  Gfp.KERNEL | GfpFlag.RECLAIMABLE,
  Gfp.DMA | Gfp.KERNEL,
  Gfp.DMA32 | Gfp.ATOMIC,
  Gfp.KERNEL | GfpFlag.COMP,
  Gfp.KERNEL | GfpFlag.THISNODE,
  Gfp.KERNEL | GfpFlag.NORETRY | GfpFlag.MEMALLOC,
];

type Step =
  | { kind: "alloc"; cpu: number; gfp: number; order: number; node: number }
  | { kind: "free"; cpu: number; pick: number }
  | { kind: "split"; pick: number }
  | { kind: "bulk"; cpu: number; count: number }
  | { kind: "drain"; cpu: number }
  | { kind: "update"; cpu: number };

const cpu = fc.nat(CPUS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("alloc" as const),
      cpu,
      gfp: fc.constantFrom(...GFPS),
      order: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(10) }),
      node: fc.nat(1),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("free" as const), cpu, pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("split" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("bulk" as const), cpu, count: fc.nat(70) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("drain" as const), cpu }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("update" as const), cpu }) },
);

interface Block {
  pfn: number;
  order: number;
  compound: boolean;
}

class Model {
  readonly machine: PageFixture;
  readonly used = new Set<number>();
  readonly blocks: Block[] = [];

  constructor(machine: PageFixture) {
    this.machine = machine;
  }

  run(s: Step): void {
    const { allocators } = this.machine;
    if (s.kind === "alloc") {
      const pfn = allocators[s.cpu].allocPagesNode(s.node, s.gfp | GfpFlag.NOWARN, s.order);
      if (pfn !== 0)
        this.take({ pfn, order: s.order, compound: (s.gfp & GfpFlag.COMP) !== 0 && s.order > 0 }, s.gfp);
    } else if (s.kind === "free") this.free(allocators[s.cpu], s.pick);
    else if (s.kind === "split") this.split(s.pick);
    else if (s.kind === "bulk") {
      const pfns: number[] = [];
      expect(allocators[s.cpu].allocPagesBulk(Gfp.KERNEL | GfpFlag.NOWARN, s.count, pfns)).toBe(pfns.length);
      for (const pfn of pfns) this.take({ pfn, order: 0, compound: false }, Gfp.KERNEL);
    } else if (s.kind === "drain") allocators[s.cpu].drain.all();
    else allocators[s.cpu].updateVmstat();
  }

  take(block: Block, gfp: number): void {
    const { pfn, order } = block;
    expect(pfn % (1 << order)).toBe(0);
    for (let i = pfn; i < pfn + (1 << order); i++) {
      expect(this.used.has(i)).toBe(false);
      this.used.add(i);
    }
    const highest = (gfp & GfpFlag.DMA) !== 0 ? 0 : (gfp & GfpFlag.DMA32) !== 0 ? 1 : 2;
    const zone = ZONES.findIndex((z) => z.startPfn <= pfn && pfn + (1 << order) <= z.startPfn + z.pages);
    expect(zone).toBeGreaterThanOrEqual(0);
    expect(ZONES[zone].index).toBeLessThanOrEqual(highest);
    this.blocks.push(block);
  }

  free(pages: PageFixture["pages"], pick: number): void {
    if (this.blocks.length === 0) return;
    const [block] = this.blocks.splice(pick % this.blocks.length, 1);
    for (let i = block.pfn; i < block.pfn + (1 << block.order); i++) this.used.delete(i);
    pages.freePages(block.pfn, block.order);
  }

  split(pick: number): void {
    if (this.blocks.length === 0) return;
    const at = pick % this.blocks.length;
    const { pfn, order, compound } = this.blocks[at];
    if (order === 0 || compound) return;
    this.machine.pages.splitPage(pfn, order);
    this.blocks.splice(at, 1);
    for (let i = 0; i < 1 << order; i++) this.blocks.push({ pfn: pfn + i, order: 0, compound: false });
  }
}

const TOTAL = ZONES.reduce((sum, zone) => sum + zone.pages, 0);

describe("any sequence of requests", () => {
  test.each([0, 20])("gives no frame twice and loses none (counter threshold %i)", (threshold) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const machine = pageFixture({ cpus: CPUS, zones: ZONES, threshold, boostFactor: 15_000 });
        const model = new Model(machine);
        for (const s of steps) model.run(s);
        expect(machine.check()).toBe(TOTAL - model.used.size);
        while (model.blocks.length > 0) model.free(machine.pages, 0);
        machine.pages.drain.all();
        expect(machine.check()).toBe(TOTAL);
      }),
      { numRuns: 40 },
    );
  });

  test("a decay that finds a huge page on the list leaves room for it", () => {
    const machine = pageFixture({ cpus: CPUS, zones: ZONES, threshold: 0, boostFactor: 15_000 });
    const model = new Model(machine);
    model.run({ kind: "alloc", cpu: 1, gfp: Gfp.KERNEL, order: 9, node: 0 });
    model.run({ kind: "update", cpu: 1 });
    expect(machine.check()).toBe(TOTAL - model.used.size);
  });

  test("that empties the machine and fills it again leaves whole blocks", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat()), fc.constantFrom(...GFPS), (random, gfp) => {
        const machine = pageFixture({ cpus: CPUS, zones: ZONES });
        const model = new Model(machine);
        for (;;) {
          const n = random.next().value as number;
          const before = model.blocks.length;
          model.run({ kind: "alloc", cpu: n % CPUS, gfp, order: (n >> 2) % 3, node: 0 });
          if (model.blocks.length === before) break;
        }
        machine.check();
        while (model.blocks.length > 0) model.free(machine.allocators[0], random.next().value as number);
        machine.pages.drain.all();
        expect(machine.check()).toBe(TOTAL);
      }),
      { numRuns: 10 },
    );
  });
});
