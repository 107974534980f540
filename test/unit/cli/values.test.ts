import { expect, test } from "vitest";
import {
  decimal,
  defaultCpuList,
  integer,
  parseCpuList,
  parseTokens,
  repeated,
} from "../../../src/cli/values.ts";

test("CPU lists: counts, ranges, both; ascending and each once", () => {
  expect(parseCpuList("1,2,4")).toEqual([1, 2, 4]);
  expect(parseCpuList("8,1-3, 2")).toEqual([1, 2, 3, 8]);
  expect(parseCpuList("256")).toEqual([256]);
});

test.each(["", "0", "257", "3-1", "1,", "a", "-1", "1-2-3", "1.5", "1e2"])(
  'the CPU list "%s" is refused',
  (text) => {
    expect(() => parseCpuList(text)).toThrow(/--cpus: ".*" is not valid; valid are counts from 1 to 256/);
  },
);

test("the default list doubles up to the most, and ends with it", () => {
  expect(defaultCpuList(1)).toEqual([1]);
  expect(defaultCpuList(6)).toEqual([1, 2, 4, 6]);
  expect(defaultCpuList(8)).toEqual([1, 2, 4, 8]);
});

test("numbers are plain, and in their range", () => {
  expect(integer("--n", "10", 1, 10)).toBe(10);
  expect([decimal("--x", "0.5", 0, 1), decimal("--x", ".5", 0, 1), decimal("--x", "1e-1", 0, 1)]).toEqual([
    0.5, 0.5, 0.1,
  ]);
  for (const text of ["", "11", "0x1", "1.0", "-1", " "])
    expect(() => integer("--n", text, 1, 10)).toThrow(/--n: /);
  for (const text of ["", "2", "one", "Infinity", "."])
    expect(() => decimal("--x", text, 0, 1)).toThrow(/--x: /);
});

test("tokens are a number, cores or free; repeated flags add up", () => {
  expect(["3", "cores", "free"].map(parseTokens)).toEqual([3, "cores", "free"]);
  expect(() => parseTokens("0")).toThrow(/--tokens: "0" is not valid/);
  expect(repeated("b", ["a"])).toEqual(["a", "b"]);
});
