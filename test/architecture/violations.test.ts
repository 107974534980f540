/** Each rule of the architecture test is broken once, to show that it finds what it is for. */

import { describe, expect, test } from "vitest";
import { causeViolations } from "./causes.ts";
import { parseModule } from "./module.ts";
import * as rules from "./violations.ts";
import { FORBIDDEN } from "./words.ts";

const imports = (path: string, text: string) =>
  rules.importViolations(parseModule(path, text), ["piscina", "@a/b"]);

describe("imports", () => {
  test("may point down, within a folder, and to the host where it is allowed", () => {
    expect(
      imports("src/mm/a.ts", 'import { b } from "../sync/b.ts"; import { c } from "./pages/c.ts";'),
    ).toEqual([]);
    expect(imports("src/machine/a.ts", 'import "node:fs"; import "piscina"; import "@a/b/c";')).toEqual([]);
    expect(imports("test/unit/a.test.ts", 'import "../../src/mm/a.ts"; import "vitest";')).toEqual([]);
    expect(imports("src/cli/a.ts", "const module = await import(file);")).toEqual([]);
  });

  test.each([
    ["import", 'import { b } from "../machine/b.ts";'],
    ["type import", 'import type { B } from "../machine/b.ts";'],
    ["import for effect", 'import "../machine/b.ts";'],
    ["export from", 'export { b } from "../machine/b.ts";'],
    ["export of everything", 'export * from "../machine/b.ts";'],
    ["dynamic import", 'await import("../machine/b.ts");'],
    ["type query", 'type B = typeof import("../machine/b.ts");'],
  ])("point up: %s", (_kind, text) => {
    expect(imports("src/mm/a.ts", `\n${text}`)).toEqual([
      "src/mm/a.ts:2 imports ../machine/b.ts: machine is above mm",
    ]);
  });

  test("stay out of folders of the same row", () => {
    expect(imports("src/check/a.ts", 'import "../procfs/b.ts";')).toEqual([
      "src/check/a.ts:1 imports ../procfs/b.ts: procfs and check are in one row",
    ]);
  });

  test("of the schedulers reach memory and hardware only", () => {
    expect(imports("src/schedule/a.ts", 'import "../hardware/b.ts";')).toEqual([]);
    expect(imports("src/schedule/a.ts", 'import "../sync/b.ts";')).toEqual([
      "src/schedule/a.ts:1 imports ../sync/b.ts: schedule imports only memory, hardware",
    ]);
  });

  test("of a workload take only types of what it is given", () => {
    expect(imports("src/workloads/a.ts", 'import type { Kernel } from "../machine/kernel.ts";')).toEqual([]);
    expect(imports("src/workloads/a.ts", 'import { Kernel } from "../machine/kernel.ts";')).toEqual([
      "src/workloads/a.ts:1 imports ../machine/kernel.ts: workloads may import only types of machine",
    ]);
  });

  test("do not leave src", () => {
    expect(imports("src/cli/a.ts", 'import "../../test/b.ts";')[0]).toMatch("src stands alone");
    expect(imports("workers/a.ts", 'import "../bench/b.ts";')[0]).toMatch("workers import only src");
  });

  test("name no package that users do not get, and none in the kernel", () => {
    expect(imports("src/machine/a.ts", 'import "vitest";')[0]).toMatch("not among the dependencies");
    expect(imports("src/mm/a.ts", 'import "piscina";')[0]).toMatch("mm uses no packages");
    expect(imports("src/mm/a.ts", 'import "node:fs";')[0]).toMatch("asks nothing of the host");
  });

  test("do not go in circles, types apart", () => {
    const a = parseModule("src/mm/a.ts", 'import { b } from "./b.ts";');
    const back = parseModule("src/mm/b.ts", 'import { a } from "./a.ts";');
    const types = parseModule(
      "src/mm/b.ts",
      'import type { A } from "./a.ts"; import { type C } from "./a.ts";',
    );
    expect(rules.cycleViolations([a, back])).toEqual(["src/mm/a.ts -> src/mm/b.ts -> src/mm/a.ts"]);
    expect(rules.cycleViolations([a, types])).toEqual([]);
  });
});

describe("modules", () => {
  test("in a folder without a row", () => {
    expect(rules.folderViolations(parseModule("src/extra/a.ts", ""))).toHaveLength(1);
    expect(rules.folderViolations(parseModule("src/a.ts", ""))).toHaveLength(1);
    expect(rules.folderViolations(parseModule("src/mm/a.ts", ""))).toEqual([]);
  });

  test("of more than 400 lines", () => {
    expect(rules.sizeViolations(parseModule("src/mm/a.ts", "\n".repeat(400)))).toEqual([]);
    expect(rules.sizeViolations(parseModule("bench/a.ts", "\n".repeat(401)))).toEqual([
      "bench/a.ts has 401 lines, at most 400 are allowed",
    ]);
  });

  test("with more than 8 exported values; types do not count, overloads count once", () => {
    const eight = "export const a = 1, b = 2, { c, d: [e] } = f; export class G {} export { h, i, j as k };";
    const free = "export interface T {} export type U = T; export { type V }; export type { W };";
    const overloads = "export function l(a: number): void; export function l(a: unknown): void {}";
    expect(rules.sizeViolations(parseModule("src/mm/a.ts", eight + free))).toEqual([]);
    expect(rules.sizeViolations(parseModule("src/mm/a.ts", eight + overloads))).toEqual([
      "src/mm/a.ts exports 9 values, at most 8 are allowed",
    ]);
  });

  test("that no longer need their exception", () => {
    const small = parseModule("src/memory/units.ts", "export const a = 1;");
    expect(rules.staleExceptions([small])).toContain(
      "the exception for the exports of src/memory/units.ts is not used",
    );
  });

  test("with a vague name, a default export, or a re-export of everything", () => {
    expect(rules.nameViolations(parseModule("src/mm/utils.ts", ""))).toHaveLength(1);
    expect(rules.nameViolations(parseModule("src/mm/a.ts", "export default 1;"))).toHaveLength(1);
    expect(rules.nameViolations(parseModule("src/mm/a.ts", 'export * from "./b.ts";'))).toHaveLength(1);
  });
});

describe("a simulated machine that knows the experiment", () => {
  const found = (path: string, text: string) => causeViolations({ path, text }, ["page-bulk"]);

  test.each([
    ["src/schedule/virtual/costs.ts", 'if (name === "page-bulk") cost = 0;'],
    ["src/schedule/virtual/profiles/a.json", '"page-bulk": 12'],
    ["src/schedule/virtual/costs.ts", "cost *= order;"],
    ["src/schedule/virtual/profiles/a.json", '"order9": 12, "order": 3'],
    ["src/schedule/virtual/costs.ts", "if (this.cpus > 8) cost = 0;"],
    ["src/schedule/virtual/costs.ts", "const few = 4 >= parts.cpus;"],
    ["src/mm/pages/buddy.ts", "if (order === 9) memory.work(PAGE_FREE, 1);"],
    ["src/mm/pages/buddy.ts", "memory.work(PAGE_FREE, order === 9 ? 600 : 1);"],
    ["src/sync/ipi.ts", "busy && memory.work(PAGE_FREE, 1);"],
  ])("%s: %s", (path, text) => expect(found(path, text)).toHaveLength(1));

  test("may speak of it in comments, and count work", () => {
    expect(found("src/schedule/virtual/costs.ts", "// by order, as in page-bulk\nlet a = 1;")).toEqual([]);
    expect(found("src/mm/pages/buddy.ts", "memory.work(PAGE_CHECK, 1 << order);")).toEqual([]);
    expect(found("src/schedule/virtual/turn.ts", "for (let cpu = 0; cpu < this.cpus; cpu++) {")).toEqual([]);
  });
});

describe("reserved names", () => {
  test.each([
    ["Math.random", "Math.random();"],
    ["Date.now", 'Date["now"]();'],
    ["performance.now", "performance.now();"],
    ["Atomics", "Atomics.load(words, 0);"],
    ["Int32Array", "let words: Int32Array;"],
    ["Float64Array", "new Float64Array(1);"],
    ["BigInt", "const one = 1n;"],
  ])("%s in the kernel", (name, text) => {
    expect(rules.reservedViolations(parseModule("src/mm/a.ts", text))[0]).toMatch(
      `src/mm/a.ts:1 uses ${name}:`,
    );
  });

  test("are free in comments, in texts, and where they belong", () => {
    const text = '// Atomics\nbug("Math.random");';
    expect(rules.reservedViolations(parseModule("src/mm/a.ts", text))).toEqual([]);
    expect(rules.reservedViolations(parseModule("src/memory/a.ts", "Atomics.load(words, 0);"))).toEqual([]);
    expect(rules.reservedViolations(parseModule("bench/a.ts", "performance.now();"))).toEqual([]);
  });
});

test.each(["test.only", "it.skip", "describe.todo", "test.each(rows).only", "context.skip"])("%s", (call) => {
  expect(rules.skipViolations(parseModule("test/unit/a.test.ts", `${call}("name", run);`))).toHaveLength(1);
});

test.each([
  ["FIX", "ME later"],
  ["see /wo", "rk/main"],
  ["registry", ".example.org"],
  ["written in this ", "session"],
])("forbidden: %s%s", (first, second) => {
  expect(FORBIDDEN.filter(({ pattern }) => pattern.test(first + second))).toHaveLength(1);
});
