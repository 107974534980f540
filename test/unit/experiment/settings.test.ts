import { describe, expect, test } from "vitest";
import { parseSetting, settingLines, splitSettings } from "../../../src/experiment/settings.ts";
import { nearest } from "../../../src/memory/nearest.ts";
import type { WorkloadDescription } from "../../../src/workloads/description.ts";

const description: WorkloadDescription = {
  name: "page-bulk",
  summary: "allocates, then frees",
  phases: ["get", "put"],
  operation: "one block",
  options: {
    order: { type: "integer", default: 0, min: 0, max: 10, help: "order of the blocks" },
    nodes: { type: "choice", default: "local", choices: ["local", "any"], help: "where from" },
  },
};
const split = (...pairs: string[]) =>
  splitSettings(
    pairs.map((pair) => parseSetting(pair, "--set")),
    description,
  );

describe("settings", () => {
  test("go to whom they belong; the workload's own key wins", () => {
    expect(split("order=3", "lock=ticket", "pageLists=off", "tokens=free", "nodes=any")).toEqual({
      machine: { lock: "ticket", pageLists: "off", tokens: "free" },
      options: { order: "3", nodes: "any" },
    });
  });

  test("have the type that the machine wants", () => {
    expect(splitSettings([{ key: "nodes", value: "2" }], null).machine).toEqual({ nodes: 2 });
    expect(split("tokens=2", "lockstat=true", "mutants=a+b").machine).toEqual({
      tokens: 2,
      lockstat: true,
      mutants: ["a", "b"],
    });
  });

  test("of a module that says nothing about itself are its options, unless they are the machine's", () => {
    expect(
      splitSettings(
        [
          { key: "depth", value: "9" },
          { key: "lock", value: "tas" },
        ],
        null,
      ),
    ).toEqual({
      machine: { lock: "tas" },
      options: { depth: "9" },
    });
  });

  test.each([
    [
      "ordr=3",
      /no key "ordr" \(did you mean order\?\); valid are\n {2}order: order of the blocks \(whole numbers from 0 to 10; default 0\)/,
    ],
    ["order=11", /order: "11" is not valid; valid are whole numbers from 0 to 10/],
    ["lock=mcs", /lock: "mcs" is not valid; valid are tas, ticket, queued, pv, or a path/],
    ["lockstat=yes", /lockstat: "yes" is not valid; valid are true, false/],
    ["heapMiB=many", /heapMiB: "many" is not valid; valid are 16 to 65536/],
    ["memory=1KiB", /memory: 1KiB is not valid/],
  ])("%s is refused with what is valid", (pair, message) => {
    expect(() => split(pair)).toThrow(message);
  });

  test.each(["order", "=3", ""])('"%s" is no pair', (text) => {
    expect(() => parseSetting(text, "--set")).toThrow(/write key=value/);
  });

  test("a value may hold an equals sign, and blanks around both are dropped", () => {
    expect(parseSetting("lock = ./a=b.ts", "--set")).toEqual({ key: "lock", value: "./a=b.ts" });
  });

  test("are listed once each", () => {
    const keys = settingLines(description).map((line) => line.split(":")[0]);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toContain("pageLists");
  });
});

test("the nearest word is found through swaps, cases and missing letters, and only when it is near", () => {
  const words = ["bench", "stress", "explore"];
  expect(nearest("bnech", words)).toBe("bench");
  expect(nearest("STRES", words)).toBe("stress");
  expect(nearest("explor", words)).toBe("explore");
  expect(nearest("zzz", words)).toBeNull();
  expect(nearest("", [])).toBeNull();
});
