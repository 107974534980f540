/** The benches' tools: C twins compile and give numbers, a bench prints JSON, run-all names what there is. */

import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { compileTwin } from "../../bench/c-twin.ts";
import { haltAll, Running } from "../../bench/running.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const bench = (name: string): string => fileURLToPath(new URL(`../../bench/${name}.ts`, import.meta.url));
const hasGcc = spawnSync("gcc", ["--version"]).status === 0;

afterAll(destroyIdlePools);

test.each([
  ["page-repeat", [2, 0.05], 2],
  ["spinlock", [10_000], 1],
  ["slab-pair", [2, 0.05], 2],
  ["slab-pair", ["remote", 100], 1],
  ["fault", [16, 0.05], 1],
  ["fork", [16, 0.05], 4],
  ["context-switch", ["process", 0.05], 1],
  ["context-switch", ["thread", 0.05], 1],
])("the C twin %s compiles and measures", async (name, args, numbers) => {
  const twin = compileTwin(name);
  expect(twin !== null).toBe(hasGcc);
  const found = (await twin?.run(...args)) ?? new Array(numbers).fill(1);
  expect(found).toHaveLength(numbers);
  expect(Math.min(...found)).toBeGreaterThan(0);
  expect(twin?.command ?? `-O2 bench/c/${name}.c`).toMatch(`bench/c/${name}.c`);
});

test("a running machine gives rates and metrics", async () => {
  const pages = await Running.on({ cpus: 2, memory: "16MiB" }, "page-repeat");
  const rate = await pages.rate("pair", 0.05);
  expect(rate.perSecond).toBeGreaterThan(0);
  expect(rate.nsPerOperation).toBeGreaterThan(0);
  expect(rate.fairness).toBeGreaterThan(0);
  expect(rate.fairness).toBeLessThanOrEqual(1);
  const ping = await Running.on({ cpus: 2, memory: "16MiB" }, "ipi-ping");
  expect(await ping.metric("round trip p50", 0.05)).toBeGreaterThan(0);
  await haltAll(pages, ping);
  const misbehave = fileURLToPath(new URL("../support/programs/misbehave.ts", import.meta.url));
  const wrong = await Running.on({ cpus: 3, memory: "16MiB" }, misbehave, { how: "throw" });
  await expect(wrong.run(0.05)).rejects.toThrow("planted exception");
});

test("run-all runs what it is told, writes JSON, and names what there is", async () => {
  const out = join(mkdtempSync(join(tmpdir(), "smpsim-bench-")), "now.json");
  const run = promisify(execFile);
  // A target that is missed here, on a host that does other things, is not this test's matter.
  const { stdout } = await run(process.execPath, [bench("run-all"), "--only", "idle", "--out", out]).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toMatch(/idle .* all CPUs halted .* at most 1.00 % of a core/);
  expect(stdout).toMatch(/\d of 2 targets met, 0 benches failed/);
  expect(JSON.parse(readFileSync(out, "utf8")).reports[0].bench).toBe("idle");
  await expect(run(process.execPath, [bench("run-all"), "--only", "bakery"])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^there is no bench bakery; valid are boot, .*two-core/),
  });
});
