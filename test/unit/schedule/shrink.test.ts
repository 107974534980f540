/** Scripts from tapes, and the shorter ones that shrinking tries. */

import { expect, test } from "vitest";
import { packScripts, scriptOf } from "../../../src/schedule/explore/scripts.ts";
import { shorterScripts } from "../../../src/schedule/explore/shrink.ts";
import { NEVER, TIMED_OUT } from "../../../src/schedule/explore/strategy.ts";

const tape = Int32Array.from([0, 1, 5, 0, 6, 1, 9, 2 | TIMED_OUT, 20, 0]);
const script = [
  { cpu: 1, steps: 5 },
  { cpu: 0, steps: 1 },
  { cpu: 1, steps: 3 },
  { cpu: 2 | TIMED_OUT, steps: 11 },
  { cpu: 0, steps: NEVER },
];

test("a script has a segment for each decision of a tape", () => {
  expect(scriptOf(tape)).toEqual(script);
});

test("packed scripts begin with where each begins", () => {
  const packed = packScripts([script.slice(0, 2), script.slice(2, 3)]);
  expect(Array.from(packed)).toEqual([3, 7, 9, 1, 5, 0, 1, 1, 3]);
});

test("shorter scripts lose a piece, large ones first, and neighbours of one CPU join", () => {
  const shorter = shorterScripts(script, 100);
  expect(shorter[0]).toEqual(script.slice(2));
  expect(shorter).toContainEqual([{ cpu: 1, steps: 8 }, ...script.slice(3)]);
  // The last segment of CPU 0 done together with its first one, here and there.
  expect(shorter).toContainEqual([script[0], { cpu: 0, steps: NEVER }, script[2], script[3]]);
  expect(shorter).toContainEqual([{ cpu: 1, steps: 8 }, script[3], { cpu: 0, steps: NEVER }]);
  expect(shorter.every((other) => other.length < script.length && other.length > 0)).toBe(true);
  expect(shorterScripts(script, 3)).toEqual(shorter.slice(0, 3));
  expect(shorterScripts([{ cpu: 0, steps: NEVER }], 10)).toEqual([]);
});
