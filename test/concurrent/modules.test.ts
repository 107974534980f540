/** The table of modules that CPUs' threads run: kept from process to process, one instance of each module a thread. */

import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { Machine } from "../../src/machine/machine.ts";
import { ModulePack } from "../../src/machine/module-pack.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const SAME_MODULES = join(import.meta.dirname, "../support/programs/same-modules.ts");
const MACHINE = new URL("../../src/machine/machine.ts", import.meta.url).href;

afterAll(destroyIdlePools);

test("a program from elsewhere that imports values of the library gets the kernel's own", async () => {
  const machine = await Machine.boot({ cpus: 2, memory: "16MiB", lock: "ticket" });
  const { fault, cpuResults } = await machine.run(SAME_MODULES, { operations: 1 });
  expect(fault?.message ?? "no fault").toBe("no fault");
  expect(cpuResults.map(({ value }) => value)).toEqual([
    [true, true, true, "ticket"],
    [true, true, true, "ticket"],
  ]);
  await machine.halt();
});

/** Goal: a second process finds what the first has compiled; what is left of a damaged table is made anew. */
test("the table is kept, with its code", async () => {
  const cache = mkdtempSync(join(tmpdir(), "smpsim-table-"));
  const boot = async (): Promise<string> => {
    const program = `
      const { Machine } = await import(${JSON.stringify(MACHINE)});
      const machine = await Machine.boot({ cpus: 2, memory: "16MiB" });
      console.log(machine.bootLog[0]);
      process.exit();
    `;
    const env = { ...process.env, NODE_V8_COVERAGE: undefined, NODE_COMPILE_CACHE: cache };
    const run = promisify(execFile);
    return (await run(process.execPath, ["--input-type=module", "-e", program], { env })).stdout;
  };
  const tables = (): string[] => readdirSync(cache).filter((name) => name.startsWith("smpsim-modules-"));
  const compiled = (): number => {
    const bytes = readFileSync(join(cache, tables()[0]));
    const buffer = new SharedArrayBuffer(bytes.length);
    Buffer.from(buffer).set(bytes);
    const { index } = new ModulePack(buffer);
    return index.filter(({ code }) => code !== null).length;
  };
  try {
    const first = await boot();
    expect(first).toContain("smpsim: Linux 6.12 rules, 2 CPUs");
    expect(tables()).toHaveLength(1);
    const count = compiled();
    expect(count).toBeGreaterThan(100);
    expect(await boot()).toBe(first);
    expect(tables()).toHaveLength(1);
    expect(compiled()).toBe(count);
    truncateSync(join(cache, tables()[0]), 5000);
    expect(await boot()).toBe(first);
    expect(compiled()).toBe(count);
  } finally {
    rmSync(cache, { recursive: true });
  }
});
