/** CPUs' threads run modules as scripts (docs/decisions/008): one can be made of each that they may load. */

import { Script } from "node:vm";
import { expect, test } from "vitest";
import { ModulePack } from "../../src/machine/module-pack.ts";
import { moduleTable } from "../../src/machine/module-table.ts";

test("each module that a CPU's thread may load is a script", () => {
  const table = moduleTable();
  if (table === null) return; // under coverage
  const pack = new ModulePack(table);
  const files = pack.index.map(({ url }) => url.replace(/^.*\/src\//, ""));
  expect(files).toContain("workloads/page-repeat.ts");
  expect(files).toContain("mm/slab/slub.ts");
  // What loads them is loaded by Node: it would be there twice.
  const loads = ["module-loader", "module-pack"].map((name) => `machine/${name}.ts`);
  expect(files.filter((file) => loads.includes(file))).toEqual([]);
  for (const entry of pack.index) {
    expect(() => new Script(pack.textOf(entry), { filename: entry.url }), entry.url).not.toThrow();
    const foreign = entry.imports.filter((from) => typeof from === "string" && !from.startsWith("node:"));
    expect(foreign, entry.url).toEqual([]);
  }
});
