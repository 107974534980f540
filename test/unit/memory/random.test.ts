import { describe, expect, test } from "vitest";
import { Random } from "../../../src/memory/random.ts";

describe("random", () => {
  test("a seed gives one stream, its state lives in the given words", () => {
    const words = new Int32Array(8);
    const a = new Random(words, 0).seed(42);
    const b = new Random(words, 4).seed(42);
    expect(Array.from({ length: 5 }, () => a.next())).toEqual(Array.from({ length: 5 }, () => b.next()));
    const kept = words.slice(0, 4);
    const next = a.next();
    words.set(kept);
    expect(a.next()).toBe(next);
  });

  test("xoshiro128** from the state 1 2 3 4 gives its authors' numbers", () => {
    const random = new Random(Int32Array.of(1, 2, 3, 4));
    expect([random.next(), random.next(), random.next(), random.next()]).toEqual([
      11520, 0, 5927040, 70819200,
    ]);
  });

  test("neighbouring seeds and streams are unrelated, and draws are spread evenly", () => {
    const firsts = new Set<number>();
    for (let seed = 0; seed < 100; seed++)
      for (let s = 0; s < 4; s++) firsts.add(new Random().seed(seed, s).next());
    expect(firsts.size).toBe(400);
    const random = new Random().seed(1);
    const counts = new Array(10).fill(0);
    for (let i = 0; i < 100_000; i++) counts[random.below(10)]++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});
