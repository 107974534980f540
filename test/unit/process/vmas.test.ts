import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/machine/kernel.ts";
import { checkSlabs } from "../../../src/mm/slab/check-slabs.ts";
import { TASK_SIZE } from "../../../src/process/address-spaces.ts";
import { type MmRef, VmArea, type VmaRef } from "../../../src/process/vm-area.ts";
import { VmFlag } from "../../../src/process/vm-flags.ts";
import { kernelsOf } from "../../support/kernels.ts";

const PAGE = 4096;
const BASE = 2 ** 40;
const PAGES = 64;
const { READ, WRITE, EXEC, SOFTDIRTY, IO } = VmFlag;

class Space {
  readonly kernel: Kernel;
  readonly mm: MmRef;

  constructor() {
    [this.kernel] = kernelsOf({ cpus: 1 }).kernels;
    this.kernel.processes.start();
    this.mm = this.kernel.processes.spaces.make();
  }

  private write<T>(body: () => T): T {
    const { mmapLocks } = this.kernel.processes;
    mmapLocks.writeLock(this.mm);
    const result = body();
    mmapLocks.writeUnlock(this.mm);
    return result;
  }

  /** Where nothing is: merged with its neighbours or a VMA of its own. */
  map(first: number, pages: number, flags: number): VmaRef {
    const { vmas, merge } = this.kernel.processes;
    const start = BASE + first * PAGE;
    const range = { start, end: start + pages * PAGE, flags, pgoff: start / PAGE };
    return this.write(() => {
      const merged = merge.merge(this.mm, { ...range, file: 0, ops: 0, policy: 0, anonVma: 0, middle: 0 });
      if (merged !== 0) return merged;
      const area = vmas.make(this.mm, range);
      expect(vmas.link(this.mm, area)).toBe(0);
      return area;
    });
  }

  unmap(first: number, pages: number): void {
    const { vmas, anonVmas } = this.kernel.processes;
    const [start, end] = [BASE + first * PAGE, BASE + (first + pages) * PAGE];
    this.write(() => {
      for (const address of [start, end]) {
        const area = vmas.lookup(this.mm, address);
        if (area !== 0 && vmas.startOf(area) < address)
          expect(vmas.splitLimited(this.mm, area, address, address === end)).toBe(0);
      }
      const gone = vmas.overlapping(this.mm, start, end);
      vmas.trees.commit(vmas.reserve(this.mm, start, end, 0)!);
      for (const area of gone) {
        vmas.detach(area);
        anonVmas.unlink(area);
        vmas.free(area);
      }
      vmas.countMaps(this.mm, -gone.length);
    });
  }

  protect(first: number, pages: number, flags: number): void {
    const { vmas, merge } = this.kernel.processes;
    const [start, end] = [BASE + first * PAGE, BASE + (first + pages) * PAGE];
    this.write(() => {
      for (let at = start; at < end; ) {
        const area = vmas.lookup(this.mm, at);
        const to = Math.min(vmas.endOf(area), end);
        if (vmas.flagsOf(area) !== flags) {
          const modified = merge.modify(this.mm, area, at, to, flags);
          expect(modified).toBeGreaterThan(0);
          this.kernel.memory.write(modified + VmArea.flags, flags);
        }
        at = to;
      }
    });
  }

  /** Gives the VMA at a page an anon_vma, as its first fault does. */
  touch(page: number): void {
    const { vmas, anonVmas, merge } = this.kernel.processes;
    const area = vmas.lookup(this.mm, BASE + page * PAGE);
    expect(anonVmas.prepare(area, merge.reusableAnonVma(this.mm, area))).toBe(true);
  }

  at(page: number): VmaRef {
    return this.kernel.processes.vmas.lookup(this.mm, BASE + page * PAGE);
  }

  anonOf(page: number): number {
    return this.kernel.memory.load(this.at(page) + VmArea.anonVma);
  }

  /** First page, page after the last, flags. */
  list(): [number, number, number][] {
    const { vmas } = this.kernel.processes;
    return vmas
      .check(this.mm)
      .map((at) => [(vmas.startOf(at) - BASE) / PAGE, (vmas.endOf(at) - BASE) / PAGE, vmas.flagsOf(at)]);
  }

  /** Objects given out of each cache, once look-ups have gone. */
  objects(): Record<string, number> {
    const { rcu, cpu, slabs } = this.kernel;
    rcu.barrier();
    cpu.endOperation();
    return Object.fromEntries(checkSlabs(slabs).map(({ name, active }) => [name, active]));
  }
}

/** Longest runs of pages with the same flags. */
function runs(pages: readonly number[]): [number, number, number][] {
  const found: [number, number, number][] = [];
  pages.forEach((flags, page) => {
    const last = found.at(-1);
    if (flags === 0) return;
    if (last !== undefined && last[1] === page && last[2] === flags) last[1] = page + 1;
    else found.push([page, page + 1, flags]);
  });
  return found;
}

describe("without anonymous pages", () => {
  const operation = fc.record({
    kind: fc.constantFrom("map", "unmap", "protect"),
    first: fc.nat(PAGES - 1),
    pages: fc.integer({ min: 1, max: 12 }),
    flags: fc.constantFrom(READ, READ | WRITE, READ | EXEC),
  });

  test("VMAs are the longest runs of pages with equal flags, whatever is done", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const space = new Space();
        const model = new Array<number>(PAGES + 12).fill(0);
        for (const { kind, first, pages, flags } of operations) {
          const part = model.slice(first, first + pages);
          if (kind === "protect" && part.includes(0)) continue;
          if (kind === "protect") space.protect(first, pages, flags);
          else if (part.some((f) => f !== 0)) space.unmap(first, pages);
          if (kind === "map") space.map(first, pages, flags);
          model.fill(kind === "unmap" ? 0 : flags, first, first + pages);
          expect(space.list()).toEqual(runs(model));
        }
        space.kernel.processes.spaces.put(space.mm);
        expect(space.objects()).toMatchObject({
          vm_area_struct: 0,
          vma_lock: 0,
          maple_node: 0,
          mm_struct: 0,
        });
      }),
      { numRuns: 15 },
    );
  });

  test("soft-dirty does not keep neighbours apart, special VMAs do", () => {
    const space = new Space();
    space.map(0, 2, READ | SOFTDIRTY);
    space.map(2, 2, READ);
    expect(space.list()).toHaveLength(1);
    space.map(8, 2, READ | IO);
    space.map(10, 2, READ | IO);
    expect(space.list()).toHaveLength(3);
  });

  test("a page offset that does not go on keeps neighbours apart", () => {
    const space = new Space();
    const { vmas } = space.kernel.processes;
    const area = space.map(0, 4, READ);
    space.kernel.memory.writeFloat64(area + VmArea.pgoff, 7);
    space.map(4, 4, READ);
    expect(space.list()).toHaveLength(2);
    expect(vmas.pgoffOf(space.at(4))).toBe(BASE / PAGE + 4);
  });
});

describe("anonymous maps", () => {
  test("between two neighbours with maps of their own only the left one merges", () => {
    const space = new Space();
    space.map(0, 4, READ);
    space.touch(0);
    space.map(8, 4, READ);
    space.touch(8);
    space.map(4, 4, READ);
    expect(space.list()).toEqual([
      [0, 8, READ],
      [8, 12, READ],
    ]);
    expect(space.anonOf(4)).toBe(space.anonOf(0));
    expect(space.anonOf(8)).not.toBe(space.anonOf(0));
  });

  test("a piece that was cut off and is made equal again merges back, with one anon_vma throughout", () => {
    const space = new Space();
    space.map(0, 12, READ);
    space.touch(0);
    space.protect(4, 4, READ | WRITE);
    expect(space.list()).toHaveLength(3);
    expect(new Set([0, 4, 8].map((page) => space.anonOf(page))).size).toBe(1);
    expect(space.objects()).toMatchObject({ anon_vma: 1, anon_vma_chain: 3 });
    space.protect(4, 4, READ);
    expect(space.list()).toEqual([[0, 12, READ]]);
    expect(space.objects()).toMatchObject({ anon_vma: 1, anon_vma_chain: 1 });
  });

  test("a neighbour whose difference may vanish lends its anon_vma, so that they can merge later", () => {
    const space = new Space();
    space.map(0, 4, READ);
    space.map(4, 4, READ | WRITE);
    space.touch(0);
    space.touch(4);
    expect(space.anonOf(4)).toBe(space.anonOf(0));
  });

  test("a fork's child has one of its own below its parent's, and does not merge with what has none", () => {
    const space = new Space();
    const { vmas, anonVmas, mmapLocks, spaces } = space.kernel.processes;
    space.map(0, 4, READ);
    space.touch(0);
    const child = spaces.make();
    mmapLocks.writeLock(child);
    const area = vmas.duplicate(child, space.at(0));
    expect(anonVmas.fork(area, space.at(0))).toBe(true);
    expect(vmas.link(child, area)).toBe(0);
    mmapLocks.writeUnlock(child);
    expect(anonVmas.isSingular(area)).toBe(false);
    expect(space.objects()).toMatchObject({ anon_vma: 2, anon_vma_chain: 3 });
    const grown = { ...space.kernel.processes.merge.rangeOf(area, READ), anonVma: 0, middle: 0 };
    const above = { ...grown, start: grown.end, end: grown.end + PAGE, pgoff: grown.pgoff + 4 };
    expect(space.kernel.processes.merge.merge(child, above)).toBe(0);
    vmas.check(child);
    spaces.put(space.mm);
    expect(space.objects()).toMatchObject({ anon_vma: 2, anon_vma_chain: 2 });
    spaces.put(child);
    expect(space.objects()).toMatchObject({ anon_vma: 0, anon_vma_chain: 0, mm_struct: 0 });
  });

  test("a long line of forks of which only the last lives reuses what its ancestors left", () => {
    const space = new Space();
    const { vmas, anonVmas, mmapLocks, spaces } = space.kernel.processes;
    space.map(0, 4, READ);
    space.touch(0);
    let [mm, area] = [space.mm, space.at(0)];
    for (let generation = 0; generation < 20; generation++) {
      const child = spaces.make();
      mmapLocks.writeLock(child);
      const copy = vmas.duplicate(child, area);
      expect(anonVmas.fork(copy, area)).toBe(true);
      expect(vmas.link(child, copy)).toBe(0);
      mmapLocks.writeUnlock(child);
      spaces.put(mm);
      vmas.check(child);
      [mm, area] = [child, copy];
    }
    expect(space.objects().anon_vma).toBeLessThanOrEqual(3);
    spaces.put(mm);
    expect(space.objects()).toMatchObject({ anon_vma: 0, anon_vma_chain: 0 });
  });
});

test("a VMA may lie at the end of the user's addresses", () => {
  const space = new Space();
  const { vmas, mmapLocks } = space.kernel.processes;
  mmapLocks.writeLock(space.mm);
  const start = TASK_SIZE - PAGE;
  const area = vmas.make(space.mm, { start, end: TASK_SIZE, flags: READ, pgoff: start / PAGE });
  expect(vmas.link(space.mm, area)).toBe(0);
  mmapLocks.writeUnlock(space.mm);
  expect(vmas.check(space.mm)).toEqual([area]);
  expect(vmas.find(space.mm, 0)).toBe(area);
});
