import { describe, expect, test } from "vitest";
import { Gfp } from "../../../../src/mm/pages/gfp.ts";
import { ReapWork } from "../../../../src/mm/slab/slab/structures.ts";
import { cacheOn, SMALL } from "../../../support/slab-scene.ts";

describe("the reaper", () => {
  test("leaves what was used since, then takes a fifth", () => {
    const c = cacheOn(1);
    c.give(0, c.take(0, 100));
    const { avail } = c.own(0);
    expect(avail).toBeGreaterThan(24);
    expect(c.kernels[0].slabs.reap()).toBe(true);
    expect(c.own(0)).toEqual({ avail, touched: 0 });
    c.kernels[0].slabs.reap();
    expect(c.own(0).avail).toBe(avail - 24);
    c.check();
  });

  test("sends home what waits for one other node after the other", () => {
    const c = cacheOn(4, SMALL, 4);
    c.give(
      0,
      [1, 2, 3].flatMap((cpu) => c.take(cpu, 1)),
    );
    const waiting = (): number[] => [1, 2, 3].map((home) => c.alien(0, home));
    const seen = Array.from({ length: 4 }, () => {
      c.kernels[0].slabs.reap();
      return waiting();
    });
    expect(seen).toEqual([
      [1, 1, 1],
      [0, 1, 1],
      [0, 0, 1],
      [0, 0, 0],
    ]);
    c.check();
  });

  test("does nothing while somebody makes a cache", () => {
    const c = cacheOn(2);
    const { mutexes, slabs } = c.kernels[1];
    const mutex = slabs.mutex;
    mutexes.lock(mutex);
    expect(c.kernels[0].slabs.reap()).toBe(false);
    mutexes.unlock(mutex);
    expect(c.kernels[0].slabs.reap()).toBe(true);
  });

  test("comes after two seconds, at the next allocation that may sleep and misses its array", () => {
    const c = cacheOn(1);
    const [{ slabs, memory, image }] = c.kernels;
    const work = image.slabs.slab!.reap.of(0);
    slabs.tick();
    expect(memory.read(work + ReapWork.isDue)).toBe(0);
    c.give(0, c.take(0, 10));
    slabs.tick();
    expect(memory.read(work + ReapWork.isDue)).toBe(0);
    memory.writeFloat64(work + ReapWork.dueNs, 1);
    slabs.tick();
    expect(memory.read(work + ReapWork.isDue)).toBe(1);
    const { avail } = c.own(0);
    c.take(0, 1);
    expect(c.own(0)).toEqual({ avail: avail - 1, touched: 1 });
    // These miss theirs; the first may not sleep.
    const other = slabs.create({ name: "other", objectBytes: 200 });
    memory.write(work + ReapWork.isDue, 1);
    slabs.alloc(other, Gfp.NOWAIT);
    expect(c.own(0).touched).toBe(1);
    slabs.allocNode(other, Gfp.KERNEL, 0);
    slabs.flushAll(other);
    slabs.alloc(other, Gfp.KERNEL);
    expect([c.own(0).touched, memory.read(work + ReapWork.isDue)]).toEqual([0, 0]);
    c.check();
  });
});
