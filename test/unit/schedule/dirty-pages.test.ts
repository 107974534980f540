/** Restoring by the list of dirty frames must equal a full copy, whatever was written between. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { controlWords } from "../../../src/memory/control.ts";
import { createExploreBuffers } from "../../../src/schedule/explore/buffers.ts";
import { DIRTY, DirtyPages } from "../../../src/schedule/explore/dirty-pages.ts";

const FRAMES = 16;
const FRAME_WORDS = 1024;
const STATE_WORDS = 64;

function fresh() {
  const ram = new SharedArrayBuffer(FRAMES * FRAME_WORDS * 4);
  const states = new SharedArrayBuffer(STATE_WORDS * 4);
  const control = new Int32Array(new SharedArrayBuffer(controlWords(1) * 4));
  const buffers = createExploreBuffers(ram.byteLength, states.byteLength);
  const dirty = new DirtyPages({ ram, states, control, buffers });
  const words = new Int32Array(ram);
  const write = (address: number, value: number): void => {
    const frame = address >> 10;
    if ((dirty.flags[frame] & DIRTY) === 0) dirty.note(frame);
    words[address] = value;
  };
  return { dirty, words, states: new Int32Array(states), write };
}

const address = fc.integer({ min: FRAME_WORDS, max: FRAMES * FRAME_WORDS - 1 });
const writes = fc.array(fc.tuple(address, fc.integer()), { maxLength: 60 });

test("a restore equals a full copy, execution after execution", () => {
  fc.assert(
    fc.property(writes, fc.array(writes, { minLength: 1, maxLength: 5 }), (setup, executions) => {
      const { dirty, words, states, write } = fresh();
      for (const [at, value] of setup) write(at, value);
      states.fill(7);
      dirty.takeSnapshot();
      const ram = words.slice();
      const start = dirty.hashOfAll();
      for (const execution of executions) {
        for (const [at, value] of execution) write(at, value);
        states[3] = execution.length;
        dirty.restore();
        expect(words).toEqual(ram);
        expect(Array.from(states)).toEqual(new Array(STATE_WORDS).fill(7));
        expect(dirty.hashOfAll()).toBe(start);
      }
    }),
    { numRuns: 50 },
  );
});

test("a second snapshot is the one that is restored", () => {
  const { dirty, words, write } = fresh();
  dirty.takeSnapshot();
  write(5000, 1);
  dirty.takeSnapshot();
  write(5000, 2);
  write(9000, 3);
  dirty.restore();
  expect(words[5000]).toBe(1);
  expect(words[9000]).toBe(0);
});

test("the hash tells contents and places apart", () => {
  const hashAfter = (at: number, value: number): number => {
    const { dirty, write } = fresh();
    dirty.takeSnapshot();
    write(at, value);
    return dirty.hash();
  };
  const hashes = [
    hashAfter(5000, 1),
    hashAfter(5001, 1),
    hashAfter(5000 + FRAME_WORDS, 1),
    hashAfter(5000, 2),
  ];
  expect(new Set(hashes).size).toBe(4);
  expect(hashAfter(5000, 1)).toBe(hashes[0]);
});

test("a write through a null pointer and one past the end of RAM are bugs", () => {
  const { dirty } = fresh();
  expect(() => dirty.note(0)).toThrow("write through a null pointer");
  expect(() => dirty.note(FRAMES)).toThrow(`write to frame ${FRAMES}: RAM has ${FRAMES}`);
});
