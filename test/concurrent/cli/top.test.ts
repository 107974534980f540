import { expect, test } from "vitest";
import { smpsim } from "../../support/cli.ts";
import { projectFolder } from "../../support/folder.ts";

const LEAK = `${projectFolder}/test/support/programs/leak.ts`;
const SMALL = ["--cpus", "2", "--memory", "64MiB", "--workload", LEAK];

test("screens one after the other, sorted; a leak grows and the rest does not", async () => {
  const args = ["--count", "3", "--delay", "0.5", "--sort", "growth", "--rows", "1"];
  const { code, stdout, stderr } = await smpsim("top", "slab", ...SMALL, ...args);
  expect(stderr).toMatch(/^watching .*leak\.ts on 2 CPUs every 0\.5 s\n$/);
  expect(code).toBe(0);
  expect(stdout.match(/^ Active \/ Total Objects/gm)).toHaveLength(3);
  // On a busy host the program may not have begun by the first look: then nothing has grown there.
  const grown = [...stdout.matchAll(/^ .*\+\d+ (\S+)$/gm)].map(([, name]) => name);
  expect(grown.length).toBeGreaterThan(0);
  expect([...new Set(grown)]).toEqual(["kmalloc-64"]);
});

test("one document, one look", async () => {
  const { stdout } = await smpsim("top", "slab", ...SMALL, "--once", "--json", "-d", "0.1");
  const { looks, fault, machine } = JSON.parse(stdout);
  expect([looks.length, fault, machine.cpus]).toEqual([1, null, 2]);
  expect(looks[0].caches.map(({ name }: { name: string }) => name)).toContain("kmalloc-64");
});

test.each([
  [["slabs"], 'top: "slabs" is not valid; valid is slab'],
  [["slab", "--once", "--count", "2"], "--once and --count: valid is one of the two"],
  [["slab", "--slab", "slob"], "SLOB keeps no figures of its caches"],
  [["slab", "--sort", "x"], '--sort: "x" is not valid'],
  [["slab", "--workload", "slab-hat"], "slab-hat"],
])("%j is refused", async (args, message) => {
  const { code, stdout, stderr } = await smpsim("top", ...args);
  expect(stderr).toContain(message);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
