import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bitmap } from "../../../src/memory/bitmap.ts";
import { soloCpu } from "../../support/solo.ts";

const { memory } = soloCpu();
const BASE = 1024;

describe("bitmap", () => {
  test("agrees with an array of booleans", () => {
    const step = fc.record({ at: fc.nat(200), count: fc.nat(80), set: fc.boolean() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.array(step, { maxLength: 20 }), (bits, steps) => {
        memory.fill(BASE, 8, 0);
        const map = new Bitmap(memory, BASE, bits);
        const model: boolean[] = new Array(bits).fill(false);
        for (const { at, count, set } of steps) {
          const start = at % bits;
          const length = Math.min(count, bits - start);
          if (set) map.setRange(start, length);
          else map.clearRange(start, length);
          model.fill(set, start, start + length);
          if (set) map.set(start);
          else map.clear(start);
          model[start] = set;
          const from = (at * 7) % (bits + 1);
          const next = (value: boolean): number => {
            const found = model.indexOf(value, from);
            return found < 0 ? bits : found;
          };
          expect(map.nextSet(from)).toBe(next(true));
          expect(map.nextClear(from)).toBe(next(false));
          expect(map.lastSetBefore(from)).toBe(from === 0 ? -1 : model.lastIndexOf(true, from - 1));
          expect(model.every((value, bit) => map.has(bit) === value)).toBe(true);
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});
