/**
 * How close simulated time comes to the published curves, and the fit of the profile to them.
 *
 *   node bench/calibrate.ts                        cores 1 to 26; writes docs/CALIBRATION.md and its plots
 *   node bench/calibrate.ts --cores 1,4,26 --out . some, written elsewhere
 *   node bench/calibrate.ts --fit --cores 1,2,4,8  fits the parameters and writes the profile
 *
 * Takes minutes; simulated results do not depend on the host or its load.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { destroyIdlePools } from "../src/machine/pool.ts";
import type { Profile } from "../src/schedule/virtual/profile.ts";
import { documentOf } from "./calibration/document.ts";
import { leastSquares } from "./calibration/least-squares.ts";
import { clampTo, PARAMETERS, valuesOf, withValues } from "./calibration/parameters.ts";
import { plotOf } from "./calibration/plot.ts";
import { CORES, publishedCurves } from "./calibration/published.ts";
import { errorTable, type Point, sizeEffect, summary } from "./calibration/report.ts";
import { simulate, writeProfile } from "./calibration/simulate.ts";

const PROFILE = fileURLToPath(
  new URL("../src/schedule/virtual/profiles/xeon-gold-5320.json", import.meta.url),
);
const OUT = fileURLToPath(new URL("../docs", import.meta.url));
/** Blocks of order 9 are few: their runs take as many times more memory. */
const LARGE_BLOCK_FACTOR = 4;

const { values: flags } = parseArgs({
  options: {
    fit: { type: "boolean", default: false },
    cores: { type: "string", default: `1-${CORES}` },
    pages: { type: "string", default: "16384" },
    "other-cores": { type: "string", default: "1,2,4,8,13,26" },
    "other-pages": { type: "string", default: "65536" },
    rounds: { type: "string", default: "3" },
    profile: { type: "string", default: PROFILE },
    out: { type: "string", default: OUT },
  },
});

const cores = coreList(flags.cores);
const pages = Number(flags.pages);
const curves = publishedCurves();
const profile = JSON.parse(readFileSync(flags.profile, "utf8")) as Profile;
if (flags.fit) await fitProfile();
else await check();
await destroyIdlePools();

async function fitProfile(): Promise<void> {
  const scratch = join(tmpdir(), `smpsim-fit-${process.pid}.json`);
  const best = await leastSquares(
    {
      residuals: async (values) => {
        const points = await measure(writeProfile(withValues(profile, values), scratch), cores, pages);
        // Large errors weigh more: the greatest counts, not only the mean.
        return points.map(({ error }) => error * (1 + 10 * Math.abs(error)));
      },
      bound: (i, value) => clampTo(PARAMETERS[i], value),
      onStep: (values, sum, note) => {
        console.error(
          `${note}: sum of squares ${sum.toFixed(4)}, ${values.map((v) => v.toFixed(2)).join(" ")}`,
        );
      },
    },
    valuesOf(profile),
    Number(flags.rounds),
  );
  const rounded = best.map((value) => Number(value.toPrecision(3)));
  writeProfile(withValues(profile, rounded), flags.profile);
  console.log(errorTable(await measure(flags.profile, cores, pages)));
}

async function check(): Promise<void> {
  const points = await measure(flags.profile, cores, pages);
  console.log(`${errorTable(points)}\n${summary(points)}`);
  const otherPages = Number(flags["other-pages"]);
  const otherPoints = await measure(flags.profile, coreList(flags["other-cores"]), otherPages);
  console.log(`${otherPages} pages a core\n${errorTable(otherPoints)}\n${summary(otherPoints)}`);
  console.log(sizeEffect(points, otherPoints, `${pages} to ${otherPages} pages a core`));
  const command = commandLine();
  const findings = { command, profile, pages, points, otherPages, otherPoints, plots: "calibration.svg" };
  writeFileSync(join(flags.out, "CALIBRATION.md"), documentOf(findings));
  writeFileSync(join(flags.out, "calibration.svg"), plotOf(points));
}

function commandLine(): string {
  const words = process.argv.slice(2);
  const out = words.indexOf("--out");
  if (out >= 0) words.splice(out, 2);
  return ["node bench/calibrate.ts", ...words].join(" ");
}

async function measure(profileFile: string, counts: readonly number[], pages: number): Promise<Point[]> {
  const points: Point[] = [];
  for (const count of counts) {
    const results = new Map<string, Record<string, number>>();
    for (const curve of curves) {
      const key = `${curve.workload} ${curve.order}`;
      const blockPages =
        curve.order === 0 ? pages : Math.min(pages * LARGE_BLOCK_FACTOR, Math.floor(2 ** 20 / count));
      const experiment = { workload: curve.workload, order: curve.order, cores: count, pages: blockPages };
      const ns = results.get(key) ?? (await simulate(experiment, profileFile));
      results.set(key, ns);
      const [simulated, published] = [ns[curve.phase], curve.ns[count - 1]];
      points.push({
        curve: curve.name,
        cores: count,
        published,
        simulated,
        error: simulated / published - 1,
      });
    }
    console.error(`${count} cores done`);
  }
  return points;
}

function coreList(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [from, to = from] = part.split("-").map(Number);
    if (!(from >= 1 && to <= CORES && from <= to)) {
      console.error(`--cores: "${part}" is not valid; valid are numbers and ranges from 1 to ${CORES}`);
      process.exit(2);
    }
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}
