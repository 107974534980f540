import { expect, test } from "vitest";
import { UsageError } from "../../../src/memory/bug.ts";
import { resolveOptions, type WorkloadDescription } from "../../../src/workloads/description.ts";

const bakery: WorkloadDescription = {
  name: "bakery",
  summary: "Bakes.",
  phases: ["bake"],
  operation: "one loaf",
  options: {
    loaves: { type: "integer", default: 4, min: 1, max: 10, help: "loaves a round" },
    heat: { type: "number", default: 0.5, min: 0, max: 1, help: "of the oven" },
    crust: { type: "boolean", default: false, help: "with a crust" },
    flour: { type: "choice", default: "rye", choices: ["rye", "wheat"], help: "what it is made of" },
    label: { type: "text", default: "", help: "written on the bag" },
  },
};

test("options not given have their defaults", () => {
  expect(resolveOptions(bakery, {})).toEqual({ loaves: 4, heat: 0.5, crust: false, flour: "rye", label: "" });
});

test("values come as text from a command line, or as what they are from a program", () => {
  const typed = { loaves: 7, heat: 0.25, crust: true, flour: "wheat", label: "12" };
  expect(resolveOptions(bakery, typed)).toEqual(typed);
  expect(
    resolveOptions(bakery, { loaves: "7", heat: ".25", crust: "true", flour: "wheat", label: 12 }),
  ).toEqual(typed);
});

test.each([
  ["loaves", 11, "bakery: option loaves: 11 is not valid; valid are whole numbers from 1 to 10"],
  ["loaves", 1.5, "bakery: option loaves: 1.5 is not valid; valid are whole numbers from 1 to 10"],
  ["loaves", "", 'bakery: option loaves: "" is not valid; valid are whole numbers from 1 to 10'],
  ["loaves", true, "bakery: option loaves: true is not valid; valid are whole numbers from 1 to 10"],
  ["heat", "hot", 'bakery: option heat: "hot" is not valid; valid are numbers from 0 to 1'],
  ["crust", 1, "bakery: option crust: 1 is not valid; valid are true and false"],
  ["flour", "oats", 'bakery: option flour: "oats" is not valid; valid are rye, wheat'],
])("%s = %j is refused with the valid range", (key, value, message) => {
  expect(() => resolveOptions(bakery, { [key]: value })).toThrow(new UsageError(message));
});

test("an unknown option is refused with the list of all", () => {
  expect(() => resolveOptions(bakery, { leaves: 1 })).toThrow(
    'bakery: there is no option "leaves"; valid are loaves (whole numbers from 1 to 10; default 4); heat (numbers',
  );
  expect(() => resolveOptions({ ...bakery, options: {} }, { toString: 1 })).toThrow(
    'bakery: there is no option "toString"; it has none',
  );
});
