import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ImageLayout } from "../../../src/memory/image.ts";
import { struct, word } from "../../../src/memory/struct.ts";
import { PerCpu } from "../../../src/sync/percpu.ts";
import { ChunkState, mapWords, PerCpuChunk } from "../../../src/sync/percpu-chunk.ts";
import {
  ArrayCounters,
  AtomicCounters,
  counterBatch,
  PerCpuCounter,
  PerCpuCounters,
} from "../../../src/sync/percpu-counter.ts";
import { SpinLocks } from "../../../src/sync/spinlock.ts";
import { soloCpu } from "../../support/solo.ts";

const UNIT_WORDS = 16 * 1024;
const STATIC_START = 4096;
const PER_CPU_START = 16 * 1024;

function fixture(cpus: number, bytes = { reserved: 512, dynamic: 4096 }, given = bytes) {
  const { all } = soloCpu({ cpus, bytes: (PER_CPU_START + cpus * UNIT_WORDS) * 4 });
  const layout = new ImageLayout();
  const spin = SpinLocks.declare(layout, cpus);
  const slots = PerCpu.declare(layout, bytes.reserved, bytes.dynamic);
  const variable = layout.perCpu("variable", struct("variable", { value: word("owner-cpu") }));
  layout.bind({ staticStart: STATIC_START, perCpuStart: PER_CPU_START, unitWords: UNIT_WORDS });
  const units = {
    perCpuStart: PER_CPU_START,
    perCpuWords: layout.perCpuWords,
    reservedWords: given.reserved / 4,
    dynamicWords: given.dynamic / 4,
    unitWords: UNIT_WORDS,
  };
  const each = all.map((cpu) => {
    const locks = new SpinLocks(cpu, spin);
    const perCpu = new PerCpu({ cpu, locks, cpus, slots, units });
    return { cpu, locks, perCpu, counters: new PerCpuCounters({ memory: cpu.memory, locks, perCpu, cpus }) };
  });
  each[0].perCpu.format(units);
  return { each, variable, units, memory: all[0].memory, slots };
}

describe("the chunk", () => {
  test("behaves as first fit over an array of words", () => {
    const { memory } = soloCpu();
    const WORDS = 300;
    const start = 2050;
    const step = fc.oneof(
      fc.record({ words: fc.integer({ min: 1, max: 40 }), alignShift: fc.integer({ min: 0, max: 4 }) }),
      fc.record({ free: fc.nat(30) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        memory.fill(1024, 64, 0);
        const chunk = new PerCpuChunk(memory, { state: 1024, used: 1040, bounds: 1040 + mapWords(WORDS) });
        chunk.format(start, WORDS);
        const model: number[] = new Array(WORDS).fill(0);
        const out: { pointer: number; words: number }[] = [];
        let id = 0;
        for (const s of steps) {
          if ("free" in s) {
            if (out.length === 0) continue;
            const [piece] = out.splice(s.free % out.length, 1);
            expect(chunk.free(piece.pointer)).toBe(piece.words);
            model.fill(0, piece.pointer - start, piece.pointer - start + piece.words);
          } else {
            const align = 1 << s.alignShift;
            let expected = 0;
            for (let at = 0; at + s.words <= WORDS && expected === 0; at++) {
              if ((start + at) % align === 0 && model.slice(at, at + s.words).every((w) => w === 0))
                expected = start + at;
            }
            expect(chunk.alloc(s.words, align)).toBe(expected);
            if (expected === 0) continue;
            out.push({ pointer: expected, words: s.words });
            model.fill(++id, expected - start, expected - start + s.words);
          }
          chunk.check("chunk");
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test("the check finds each broken hint", () => {
    const { memory } = soloCpu();
    const place = { state: 1024, used: 1040, bounds: 1060 };
    const fresh = (): PerCpuChunk => {
      memory.fill(1024, 64, 0);
      const chunk = new PerCpuChunk(memory, place);
      chunk.format(2048, 300);
      const pieces = [10, 10, 10].map((words) => chunk.alloc(words, 1));
      chunk.free(pieces[1]);
      chunk.check("chunk");
      return chunk;
    };
    const broken = (address: number, value: number): (() => void) => {
      const chunk = fresh();
      memory.write(address, value);
      return () => chunk.check("chunk");
    };
    expect(broken(1024 + ChunkState.freeWords, 7)).toThrow("280 words are free, freeWords is 7");
    expect(broken(1024 + ChunkState.firstFree, 11)).toThrow("word 10 is free, firstFree is 11");
    expect(broken(1024 + ChunkState.contigWords, 271)).toThrow("270 words, contigWords is 271");
    expect(broken(1060, 1 << 20)).toThrow("no bound where the gap at 10 begins");
    expect(broken(1060, 1 << 10)).toThrow("no bound where the gap at 10 ends");
  });
});

describe("per-CPU variables", () => {
  test("a piece is zero on every CPU, aligned, and apart from the others", () => {
    const { each, memory, units } = fixture(3);
    const [{ perCpu }] = each;
    memory.fill(PER_CPU_START + units.perCpuWords, 1000, -1);
    const [a, b] = [perCpu.alloc(6, 4), perCpu.alloc(24, 64)];
    expect((b * 4) % 64).toBe(0);
    for (let cpu = 0; cpu < 3; cpu++) {
      expect(perCpu.of(a, cpu)).toBe(a + cpu * UNIT_WORDS);
      for (let i = 0; i < 6; i++) expect(memory.read(perCpu.of(b, cpu) + i)).toBe(0);
    }
    expect(perCpu.stats()).toMatchObject({ allocs: 2, current: 2, sizeMinBytes: 8, sizeMaxBytes: 24 });
    perCpu.free(a);
    perCpu.free(0);
    expect(perCpu.alloc(8, 4)).toBe(a);
    expect(perCpu.stats()).toMatchObject({ allocs: 3, frees: 1, current: 2, currentMax: 2 });
    perCpu.check();
  });

  test("each CPU sees its own instance", () => {
    const { each, memory, variable } = fixture(4);
    const pointer = each[0].perCpu.alloc(4, 4);
    for (const { cpu, perCpu } of each) {
      perCpu.add(pointer, 10 * cpu.id);
      perCpu.increment(pointer);
      expect(perCpu.addReturn(pointer, 2)).toBe(10 * cpu.id + 3);
      expect(perCpu.exchange(pointer, 5)).toBe(10 * cpu.id + 3);
      expect(perCpu.compareExchange(pointer, 4, 9)).toBe(5);
      expect(perCpu.compareExchange(pointer, 5, cpu.id + 1)).toBe(5);
      expect(perCpu.here(pointer)).toBe(perCpu.of(pointer, cpu.id));
      perCpu.write(variable.address, 100 + cpu.id);
    }
    expect(each.map(({ perCpu }) => perCpu.read(pointer))).toEqual([1, 2, 3, 4]);
    expect(each[2].perCpu.sum(pointer)).toBe(10);
    expect(memory.read(variable.of(3))).toBe(103);
    const [{ perCpu, cpu }] = each;
    expect(perCpu.getCpu()).toBe(0);
    expect(perCpu.getPointer(pointer)).toBe(pointer);
    expect(cpu.preemptCount).toBe(2);
    perCpu.putCpu();
    perCpu.putCpu();
    expect(cpu.preemptCount).toBe(0);
  });

  test("a full chunk answers 0, and all of it comes back", () => {
    const { each } = fixture(2);
    const [{ perCpu }] = each;
    const pieces: number[] = [];
    for (let p = perCpu.alloc(100, 4); p !== 0; p = perCpu.alloc(100, 4)) pieces.push(p);
    expect(pieces.length).toBe(40);
    expect(perCpu.stats().freeBytes).toBe(96);
    for (const p of pieces) perCpu.free(p);
    expect(perCpu.stats()).toMatchObject({
      freeBytes: 4096,
      longestFreeBytes: 4096,
      current: 0,
      currentMax: 40,
    });
    perCpu.check();
  });

  test("reserved room is apart, and freed the same way", () => {
    const { each, units } = fixture(2);
    const [{ perCpu }] = each;
    const pointer = perCpu.allocReserved(512, 4);
    expect(pointer).toBe(units.perCpuStart + units.perCpuWords);
    expect(perCpu.allocReserved(4, 4)).toBe(0);
    expect(perCpu.alloc(4, 4)).toBe(pointer + 128);
    perCpu.free(pointer);
    expect(perCpu.allocReserved(4, 4)).toBe(pointer);
  });

  test("bad sizes and frees are bugs", () => {
    const { each, variable } = fixture(2);
    const [{ perCpu }] = each;
    const illegal = "for percpu allocation";
    expect(() => perCpu.alloc(0)).toThrow(`illegal size (0) or align (8) ${illegal}`);
    expect(() => perCpu.alloc(40_000)).toThrow(`illegal size (40000) or align (8) ${illegal}`);
    expect(() => perCpu.alloc(8, 24)).toThrow(`illegal size (8) or align (24) ${illegal}`);
    expect(() => perCpu.alloc(8, 8192)).toThrow(`illegal size (8) or align (8192) ${illegal}`);
    expect(() => perCpu.free(variable.address)).toThrow("is not dynamic per-CPU memory");
    const pointer = perCpu.alloc(16, 4);
    expect(() => perCpu.free(pointer + 1)).toThrow("free_percpu: word 1 of the chunk is inside a piece");
    const again = fixture(1).each[0].perCpu;
    const other = again.alloc(16, 4);
    again.free(other);
    expect(() => again.free(other)).toThrow("free_percpu: word 0 of the chunk is free");
    expect(() => fixture(1, { reserved: 0, dynamic: 4096 }, { reserved: 512, dynamic: 4096 })).toThrow(
      /percpu: maps for \d+ reserved and \d+ dynamic words, the units have 128 and 1024/,
    );
  });
});

describe("counters", () => {
  test("a batched counter folds when a part reaches the batch, and sums exactly", () => {
    const { each, memory } = fixture(3);
    const at = 8192;
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
    expect(each[0].perCpu.stats().current).toBe(0);
  });

  test("comparison asks for the sum only near the limit", () => {
    const { each } = fixture(2);
    const [{ counters }, other] = each;
    counters.init(8192, 100);
    other.counters.add(8192, 20);
    expect(counters.compare(8192, 119)).toBe(1);
    expect(counters.compare(8192, 120)).toBe(0);
    expect(counters.compare(8192, 121)).toBe(-1);
    expect(counters.compare(8192, 1000)).toBe(-1);
    expect(counters.compare(8192, -1000)).toBe(1);
  });

  test("the batch grows with the CPUs", () => {
    expect([1, 16, 17, 256].map(counterBatch)).toEqual([32, 32, 34, 512]);
  });

  test("no per-CPU memory is an expected failure", () => {
    const { each } = fixture(1);
    const [{ perCpu, counters }] = each;
    while (perCpu.alloc(4, 4) !== 0);
    expect(counters.init(8192, 0)).toBe(false);
  });

  test("the other forms", () => {
    const { each, memory } = fixture(2);
    const arrays = each.map(({ cpu }) => new ArrayCounters(cpu.memory, cpu.id, 2));
    const atomic = new AtomicCounters(memory);
    for (const [i, a] of arrays.entries()) {
      a.add(8192, 3 + i);
      atomic.add(8200, 3 + i);
    }
    expect([memory.read(8192), memory.read(8193), arrays[0].sum(8192), atomic.sum(8200)]).toEqual([
      3, 4, 7, 7,
    ]);
  });
});
