/** A module as a script: it exports and imports the same, and each line stays where it was. */

import assert from "node:assert/strict";
import { Script } from "node:vm";
import { test } from "vitest";
import {
  type Exports,
  type ModuleScript,
  type ScriptFunction,
  scriptOf,
} from "../../../src/machine/module-script.ts";

const URL_OF = "file:///lab/src/mm/page.ts";
const noImport = async (specifier: string): Promise<Exports> => ({ specifier });

function run(script: ModuleScript, deps: readonly Exports[] = []): { exports: Exports; pending: unknown } {
  const exports: Exports = {};
  const start = new Script(script.text, { filename: URL_OF }).runInThisContext() as ScriptFunction;
  return { exports, pending: start(exports, deps, noImport, URL_OF) };
}

test("exports of every kind are there, types are not", () => {
  const script = scriptOf(
    URL_OF,
    `export interface Page { readonly pfn: number }
export const ORDER: number = 3;
export class Zone { readonly size = ORDER; }
export function half(n: number): number { return n / 2; }
export async function later(): Promise<number> { return 1; }
export function* count(): Generator<number> { yield 1; }
const own = 5;
export const { length: characters, at } = "four" as unknown as { length: number; at(n: number): string };
export { own, half as halved, type Page as P };
`,
  );
  const names = ["ORDER", "Zone", "half", "later", "count", "own", "halved", "characters", "at"];
  assert.deepEqual(script.exports.toSorted(), names.toSorted());
  const { exports } = run(script);
  assert.deepEqual(Object.keys(exports).toSorted(), names.toSorted());
  assert.equal((exports.half as (n: number) => number)(8), 4);
  assert.equal(exports.own, 5);
  assert.equal(exports.characters, 4);
  assert.equal(exports.halved, exports.half);
});

test("imports are bound to what the other module has exported, under the name that is used here", () => {
  const script = scriptOf(
    URL_OF,
    `import { join as joined, sep } from "node:path";
import type { Cpu } from "../hardware/cpu.ts";
import * as paths from "node:path";
import {
  type Zone,
  zoneOf,
} from "./zone.ts";
export { zoneOf as zone } from "./zone.ts";
export const value = [joined, sep, zoneOf, paths.sep];
`,
  );
  assert.deepEqual(script.imports, [
    "node:path",
    "node:path",
    "file:///lab/src/mm/zone.ts",
    "file:///lab/src/mm/zone.ts",
  ]);
  const { exports } = run(script, [{ join: 1, sep: 2 }, { sep: 4 }, { zoneOf: 3 }, { zoneOf: 3 }]);
  assert.deepEqual(exports, { value: [1, 2, 3, 4], zone: 3 });
});

test("lines stay where they are", () => {
  const source = `/** A header. */
import {
  a,
  b,
} from "./a.ts";
export { c } from "./c.ts";
export function fail(): never {
  throw new Error(\`\${a} \${b}\`);
}
`;
  const { exports } = run(scriptOf(URL_OF, source), [{ a: 1, b: 2 }, { c: 3 }]);
  assert.throws(exports.fail as () => never, (error: Error) =>
    /at (Object\.)?fail \(file:\/\/\/lab\/src\/mm\/page\.ts:8:/.test(error.stack ?? ""),
  );
});

test("a module that awaits at its top gives a promise; one whose functions await does not", async () => {
  const top = scriptOf(URL_OF, `export const half = await Promise.resolve(4);\n`);
  assert.equal(top.isAsync, true);
  const { exports, pending } = run(top);
  await pending;
  assert.equal(exports.half, 4);
  const inside = scriptOf(URL_OF, `export async function f() { return await Promise.resolve(4); }\n`);
  assert.equal(inside.isAsync, false);
  assert.equal(run(inside).pending, undefined);
});

test("what is imported while it runs is named, and asked of the loader", async () => {
  const script = scriptOf(
    URL_OF,
    `export const more = () => import("../more.ts");\nexport const here = import.meta.url;\n`,
  );
  assert.deepEqual(script.later, ["file:///lab/src/more.ts"]);
  const { exports } = run(script);
  assert.deepEqual(await (exports.more as () => unknown)(), { specifier: "../more.ts" });
  assert.equal(exports.here, URL_OF);
});

test("what no script can be made of is refused by name", () => {
  for (const line of [`import all from "./all.ts";`, `export default 1;`, `export * from "./all.ts";`])
    assert.throws(
      () => scriptOf(URL_OF, `${line}\n`),
      (error: Error) => error.message.includes(line.slice(0, 12)),
    );
});
