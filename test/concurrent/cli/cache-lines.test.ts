/** `smpsim bench --cache-lines`, as a user runs it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { smpsim } from "../../support/cli.ts";
import { emptyFolder, projectFolder } from "../../support/folder.ts";

const SHARED = join(projectFolder, "test", "support", "programs", "shared-lines.ts");
const RUN = [
  "bench",
  SHARED,
  "--cpus",
  "1,3",
  "--operations",
  "2000",
  "--memory",
  "16MiB",
  "--set",
  "how=false",
];

test("--cache-lines prints lines, structures and hints of the most CPUs, and writes CSV", async () => {
  const file = join(emptyFolder(), "lines.csv");
  const { code, stdout } = await smpsim(...RUN, "--mode", "virtual", "--cache-lines-csv", file);
  expect(code).toBe(0);
  expect(stdout).toContain("Cache lines that cost most transfers, 3 CPUs");
  expect(stdout).toContain("The same by structure, 3 CPUs");
  expect(stdout).toMatch(/^0x\w+ false sharing: cpu 0 uses planted\[0\]\.words\[0\]; cpu 1 uses/m);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  expect(lines.filter((line) => line.includes("planted[0].words["))).toHaveLength(3);
});

test("--cache-lines needs simulated time, and says so", async () => {
  const { code, stderr } = await smpsim(...RUN, "--cache-lines");
  expect(code).toBe(2);
  expect(stderr).toContain('cacheLines: needs simulated time, mode "virtual" (--mode virtual)');
});
