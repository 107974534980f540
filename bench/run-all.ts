/**
 * Runs every bench, one after the other, each in a process of its own; prints one table of targets, figures and verdicts,
 * and writes all of it to docs/performance.json, the source of the figures in docs/PERFORMANCE.md.
 *
 *   node bench/run-all.ts                      all of them, about 6 minutes
 *   node bench/run-all.ts --only boot,idle     some
 *   node bench/run-all.ts --out /tmp/now.json  written elsewhere
 *
 * Ends with status 1 when a target is missed or a bench fails.
 */

import { execFile } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { type BenchReport, tableOf, verdictOf } from "./measure.ts";

const NOT_BENCHES = [
  "c-twin.ts",
  "calibrate.ts",
  "fault-curves.ts",
  "measure.ts",
  "run-all.ts",
  "running.ts",
  "slab-curves.ts",
];
const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const OUT = fileURLToPath(new URL("../docs/performance.json", import.meta.url));
const LIMIT_MS = 180_000;

const { values } = parseArgs({
  options: { only: { type: "string" }, out: { type: "string", default: OUT } },
});
const all = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".ts") && !NOT_BENCHES.includes(file))
  .map((file) => file.slice(0, -".ts".length));
const names = values.only?.split(",") ?? all;
const unknown = names.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`there is no bench ${unknown.join(", ")}; valid are ${all.join(", ")}`);
  process.exit(2);
}

const reports: BenchReport[] = [];
const failures: string[] = [];
for (const [i, name] of names.entries()) {
  console.error(`${i + 1} of ${names.length}: ${name}`);
  try {
    reports.push(await reportOf(name));
  } catch (error) {
    failures.push(`${name} failed: ${(error as { stderr?: string }).stderr || (error as Error).message}`);
  }
}
writeFileSync(values.out, `${JSON.stringify({ command: "node bench/run-all.ts", reports }, null, 2)}\n`);
console.log(tableOf(reports));
for (const failure of failures) console.log(failure);
const verdicts = reports
  .flatMap((report) => report.figures.map(verdictOf))
  .filter((verdict) => verdict !== "");
const missed = verdicts.filter((verdict) => verdict === "MISSED").length;
console.log(
  `${verdicts.length - missed} of ${verdicts.length} targets met, ${failures.length} benches failed`,
);
process.exitCode = missed + failures.length > 0 ? 1 : 0;

async function reportOf(name: string): Promise<BenchReport> {
  const { stdout } = await promisify(execFile)(process.execPath, [`${FOLDER}${name}.ts`, "--json"], {
    timeout: LIMIT_MS,
    maxBuffer: 1 << 24,
  });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as BenchReport;
}
