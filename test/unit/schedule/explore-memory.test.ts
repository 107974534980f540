/** Bulk accesses of the explore memory, line by line, must do what the host's own do. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { controlWords } from "../../../src/memory/control.ts";
import { createExploreBuffers } from "../../../src/schedule/explore/buffers.ts";
import { createExplore } from "../../../src/schedule/explore/create.ts";

const WORDS = 8 * 1024;

function fresh() {
  const ram = new SharedArrayBuffer(WORDS * 4);
  const states = new SharedArrayBuffer(256);
  const control = new Int32Array(new SharedArrayBuffer(controlWords(1) * 4));
  const explore = createExploreBuffers(ram.byteLength, states.byteLength);
  const { memory, turn, dirty } = createExplore({ ram, states, control, explore, cpu: 0, cpus: 1 });
  const words = new Int32Array(ram);
  for (let i = 1024; i < WORDS; i++) words[i] = i;
  dirty.takeSnapshot();
  return { memory, turn, dirty, words };
}

const place = fc.integer({ min: 1024, max: WORDS - 200 });
const length = fc.integer({ min: 0, max: 200 });

test("copies equal the host's, overlapping ones too, and are restored", () => {
  fc.assert(
    fc.property(place, fc.integer({ min: -200, max: 200 }), length, (to, distance, words) => {
      const from = Math.min(Math.max(1024, to + distance), WORDS - 200);
      const { memory, dirty, words: ram } = fresh();
      const before = ram.slice();
      const expected = ram.slice();
      expected.copyWithin(to, from, from + words);
      memory.copy(to, from, words);
      expect(ram).toEqual(expected);
      dirty.restore();
      expect(ram).toEqual(before);
    }),
  );
});

test("fills equal the host's; a step a cache line", () => {
  fc.assert(
    fc.property(place, length, (at, words) => {
      const { memory, turn, words: ram } = fresh();
      const expected = ram.slice();
      expected.fill(-7, at, at + words);
      const steps = turn.step;
      memory.fill(at, words, -7);
      expect(ram).toEqual(expected);
      const lines = words === 0 ? 0 : ((at + words - 1) >> 4) - (at >> 4) + 1;
      expect(turn.step - steps).toBe(lines);
    }),
  );
});

test("a comparison tells the sign of the first difference", () => {
  const { memory } = fresh();
  expect(memory.compare(2000, 2000, 100)).toBe(0);
  expect(memory.compare(2000, 2001, 100)).toBe(-1);
  expect(memory.compare(2001, 2000, 100)).toBe(1);
});

test("a bulk access that leaves RAM is a bug", () => {
  const { memory } = fresh();
  expect(() => memory.fill(WORDS - 4, 8, 0)).toThrow(
    `bulk access of 8 words at word ${WORDS - 4} leaves RAM`,
  );
  expect(() => memory.copy(WORDS - 4, 2000, 8)).toThrow("leaves RAM");
});
