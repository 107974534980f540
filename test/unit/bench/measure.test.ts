import { expect, test } from "vitest";
import { interleave, least, median, tableOf, typical, verdictOf } from "../../../bench/measure.ts";

test("sources take turns, in alternating order", async () => {
  const order: string[] = [];
  const source = (name: string, value: number) => () => {
    order.push(name);
    return value;
  };
  expect(await interleave(3, [source("a", 1), source("b", 2)])).toEqual([
    [1, 1, 1],
    [2, 2, 2],
  ]);
  expect(order.join("")).toBe("abbaab");
});

test("a figure is the least or the median of its samples, with their range", () => {
  expect(least("x", "ns", [3, 1, 2])).toEqual({ name: "x", unit: "ns", value: 1, range: [1, 3] });
  expect(typical("x", "ns", [3, 1, 9])).toEqual({ name: "x", unit: "ns", value: 3, range: [1, 9] });
  expect(median([1, 2, 3, 10])).toBe(2.5);
});

test("a verdict needs a target, and a figure that is no number misses it", () => {
  const figure = { name: "x", unit: "ns", value: 5 };
  expect(verdictOf(figure)).toBe("");
  expect(verdictOf({ ...figure, atMost: 5 })).toBe("met");
  expect(verdictOf({ ...figure, atMost: 4.9 })).toBe("MISSED");
  expect(verdictOf({ ...figure, atLeast: 5 })).toBe("met");
  expect(verdictOf({ ...figure, atLeast: 5.1 })).toBe("MISSED");
  expect(verdictOf({ ...figure, value: Number.NaN, atMost: 5 })).toBe("MISSED");
});

test("the table has a row a figure, and the notes below", () => {
  const table = tableOf([
    {
      bench: "bakery",
      question: "How long does a loaf take?",
      command: "node bench/bakery.ts",
      host: { cores: 2, model: "oven", node: "v26" },
      figures: [{ name: "loaf", value: 123.4, unit: "ms", atMost: 200, range: [120, 150] }],
      notes: ["the oven was cold"],
    },
  ]);
  expect(table).toMatch(/bakery .* loaf .* 123 ms .* 120 to 150 .* at most 200 ms .* met/);
  expect(table).toContain("bakery: the oven was cold");
});
