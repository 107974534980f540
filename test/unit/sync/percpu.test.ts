import { describe, expect, test } from "vitest";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import {
  ArrayCounters,
  AtomicCounters,
  counterBatch,
  PerCpuCounter,
} from "../../../src/sync/percpu-counter.ts";
import { kernelsOf } from "../../support/kernels.ts";

function fixture(cpus: number) {
  const { kernels } = kernelsOf({ cpus, memory: "8MiB" });
  const at = kernels[0].pages.getZeroedPage(Gfp.KERNEL);
  return { each: kernels, memory: kernels[0].memory, at };
}

describe("per-CPU variables", () => {
  test("each CPU sees its own instance", () => {
    const { each } = fixture(4);
    const pointer = each[0].perCpu.alloc(4, 4);
    for (const { cpu, perCpu } of each) {
      perCpu.add(pointer, 10 * cpu.id);
      perCpu.increment(pointer);
      expect(perCpu.addReturn(pointer, 2)).toBe(10 * cpu.id + 3);
      expect(perCpu.exchange(pointer, 5)).toBe(10 * cpu.id + 3);
      expect(perCpu.compareExchange(pointer, 4, 9)).toBe(5);
      expect(perCpu.compareExchange(pointer, 5, cpu.id + 1)).toBe(5);
      expect(perCpu.here(pointer)).toBe(perCpu.of(pointer, cpu.id));
    }
    expect(each.map(({ perCpu }) => perCpu.read(pointer))).toEqual([1, 2, 3, 4]);
    expect(each[2].perCpu.sum(pointer)).toBe(10);
    const [{ perCpu, cpu }] = each;
    expect(perCpu.getCpu()).toBe(0);
    expect(perCpu.getPointer(pointer)).toBe(pointer);
    expect(cpu.preemptCount).toBe(2);
    perCpu.putCpu();
    perCpu.putCpu();
    expect(cpu.preemptCount).toBe(0);
  });

  test("a static variable is reached by the same offsets", () => {
    const { each, memory } = fixture(3);
    const { tasks } = each[0].image;
    for (const { cpu, perCpu } of each) expect(perCpu.here(tasks.address)).toBe(tasks.of(cpu.id));
    expect(memory.read(tasks.of(2))).toBe(each[2].perCpu.read(tasks.address));
  });
});

describe("counters", () => {
  test("a batched counter folds when a part reaches the batch, and sums exactly", () => {
    const { each, memory, at } = fixture(3);
    const before = each[0].perCpu.stats().current;
    expect(each[0].counters.init(at, 1000)).toBe(true);
    for (let i = 0; i < 31; i++) each[1].counters.increment(at);
    expect(each[0].counters.read(at)).toBe(1000);
    expect(each[0].counters.sum(at)).toBe(1031);
    each[1].counters.increment(at);
    expect(each[0].counters.read(at)).toBe(1032);
    each[2].counters.add(at, -31);
    expect(each[2].counters.read(at)).toBe(1032);
    expect(each[2].counters.sum(at)).toBe(1001);
    each[2].counters.add(at, -2000);
    expect(each[0].counters.read(at)).toBe(-999);
    expect(each[0].counters.readPositive(at)).toBe(0);
    each[0].counters.add(at, 5e12);
    expect(each[0].counters.sum(at)).toBe(5e12 - 999);
    each[0].counters.set(at, 7);
    expect(each.map((e) => e.counters.sum(at))).toEqual([7, 7, 7]);
    each[0].counters.check(at);
    each[1].perCpu.write(memory.read(at + PerCpuCounter.parts), 32);
    expect(() => each[0].counters.check(at)).toThrow("part 32 of cpu 1 has reached the batch 32");
    each[0].counters.destroy(at);
    expect(each[0].perCpu.stats().current).toBe(before);
  });

  test("comparison asks for the sum only near the limit", () => {
    const { each, at } = fixture(2);
    const [{ counters }, other] = each;
    counters.init(at, 100);
    other.counters.add(at, 20);
    expect(counters.compare(at, 119)).toBe(1);
    expect(counters.compare(at, 120)).toBe(0);
    expect(counters.compare(at, 121)).toBe(-1);
    expect(counters.compare(at, 1000)).toBe(-1);
    expect(counters.compare(at, -1000)).toBe(1);
  });

  test("the batch grows with the CPUs", () => {
    expect([1, 16, 17, 256].map(counterBatch)).toEqual([32, 32, 34, 512]);
  });

  test("no per-CPU memory is an expected failure", () => {
    const { each, at } = fixture(1);
    const [{ perCpu, counters }] = each;
    while (perCpu.alloc(4096) !== 0);
    while (perCpu.alloc(4, 4) !== 0);
    expect(counters.init(at, 0)).toBe(false);
  });

  test("the other forms", () => {
    const { each, memory, at } = fixture(2);
    const arrays = each.map(({ cpu }) => new ArrayCounters(cpu.memory, cpu.id, 2));
    const atomic = new AtomicCounters(memory);
    for (const [i, a] of arrays.entries()) {
      a.add(at, 3 + i);
      atomic.add(at + 8, 3 + i);
    }
    expect([memory.read(at), memory.read(at + 1), arrays[0].sum(at), atomic.sum(at + 8)]).toEqual([
      3, 4, 7, 7,
    ]);
  });
});
