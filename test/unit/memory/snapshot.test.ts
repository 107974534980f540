import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Snapshot } from "../../../src/memory/snapshot.ts";

const RAM_BYTES = 100 * 4096;

describe("snapshot", () => {
  test("coming back undoes any writes, and counts the frames that they touched", () => {
    const write = fc.tuple(fc.integer({ min: 0, max: RAM_BYTES / 4 - 1 }), fc.integer());
    fc.assert(
      fc.property(fc.array(write, { maxLength: 50 }), fc.array(write, { maxLength: 50 }), (first, second) => {
        const ram = new SharedArrayBuffer(RAM_BYTES);
        const states = new SharedArrayBuffer(256);
        const words = new Int32Array(ram);
        for (const [at, value] of first) words[at] = value;
        const before = words.slice();
        const snapshot = new Snapshot(ram, states);
        for (const [at, value] of second) words[at] = value;
        new Int32Array(states)[3] = 7;
        const changed = new Set<number>();
        for (let i = 0; i < words.length; i++) if (words[i] !== before[i]) changed.add(i >> 10);
        expect(snapshot.restore(ram, states)).toBe(changed.size);
        expect(words).toEqual(new Int32Array(before));
        expect(new Int32Array(states)[3]).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test("a snapshot of another machine is refused", () => {
    const snapshot = new Snapshot(new SharedArrayBuffer(8192), new SharedArrayBuffer(64));
    expect(() => snapshot.restore(new SharedArrayBuffer(4096), new SharedArrayBuffer(64))).toThrow(
      "does not fit",
    );
  });
});
