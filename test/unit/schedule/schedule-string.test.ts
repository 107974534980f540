/** Schedule strings: what is written is read back, and what is damaged is refused with the reason. */

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  formatSchedule,
  parseSchedule,
  type Schedule,
} from "../../../src/schedule/explore/schedule-string.ts";
import { TIMED_OUT } from "../../../src/schedule/explore/strategy.ts";

const schedule: Schedule = {
  scenario: "lost-update",
  cpus: 3,
  mutants: ["a-mutant", "another"],
  seed: 7,
  strategy: "pct3",
  execution: 12,
  stepLimit: 20_000,
  start: 0xdeadbeef,
  steps: 345,
  end: 0x00000fff,
  tape: Int32Array.from([0, 2, 5, 0, 6, 1, 300, 2 | TIMED_OUT]),
};
const text = formatSchedule(schedule);

test("a schedule reads back as it was written", () => {
  expect(parseSchedule(text)).toEqual(schedule);
  expect(text.length).toBeLessThan(110);
  const none = { ...schedule, mutants: [], scenario: "./my folder/it:s.ts" };
  expect(parseSchedule(` ${formatSchedule(none)}\n`)).toEqual(none);
});

test("any tape reads back as it was written", () => {
  const entry = fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.nat(30), fc.boolean());
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 200 }), fc.nat(30), (entries, first) => {
      let step = 0;
      const tape = [0, first];
      for (const [delta, cpu, late] of entries) {
        step += delta;
        tape.push(step, cpu | (late ? TIMED_OUT : 0));
      }
      const any = { ...schedule, cpus: 31, tape: Int32Array.from(tape) };
      expect(parseSchedule(formatSchedule(any))).toEqual(any);
    }),
  );
});

test("a string with any one character changed or missing is refused", () => {
  for (let i = 0; i < text.length; i++) {
    const other = text[i] === "2" ? "3" : "2";
    expect(() => parseSchedule(text.slice(0, i) + other + text.slice(i + 1))).toThrow(/^schedule: /);
    expect(() => parseSchedule(text.slice(0, i) + text.slice(i + 1))).toThrow(/^schedule: /);
  }
});

test.each([
  ["", /does not begin with "smp1:"/],
  ["smp2:x", /does not begin with "smp1:"/],
  ["smp1:x", /it has 2 parts; valid are 7 \(version, scenario, cpus/],
  [text.replace(":3:", ":40:"), /part cpus is "40"; valid are whole numbers from 1 to 31/],
  [`${text}!`, /its tape has the character "!"; valid are letters, digits, - and _/],
  [text.slice(0, -1), /a part was changed or is missing/],
  [text.slice(0, text.lastIndexOf(":") + 1), /checksum/],
])("%s is refused with the reason", (bad, reason) => {
  expect(() => parseSchedule(bad)).toThrow(reason);
});
