/**
 * How page faults and mappings scale in simulated time, on 1 to 64 CPUs: page_fault1, mapbench and mmap1, with mmap_lock
 * alone, with locks of VMAs in both forms, and as processes of their own; and which cache lines travel.
 *
 *   node bench/fault-curves.ts                       writes docs/FAULT-CURVES.md and its plot
 *   node bench/fault-curves.ts --cpus 1,4 --out .    some, written elsewhere
 *
 * Takes about five minutes on two quiet cores; simulated results do not depend on the host or its load.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { destroyIdlePools } from "../src/machine/pool.ts";
import { measure, type Point, VARIANTS } from "./faults/curves.ts";
import { documentOf } from "./faults/document.ts";
import { plotOf } from "./faults/plot.ts";

const OUT = fileURLToPath(new URL("../docs", import.meta.url));
const MACHINE = { profile: "xeon-8375c-2s", memory: "1GiB" };
const MOST_CPUS = 64;

const { values: flags } = parseArgs({
  options: { cpus: { type: "string", default: "1,2,4,8,16,32,64" }, out: { type: "string", default: OUT } },
});
const counts = flags.cpus.split(",").map(Number);
if (counts.some((count) => !Number.isInteger(count) || count < 1 || count > MOST_CPUS)) {
  console.error(`--cpus ${flags.cpus}: valid are whole numbers from 1 to ${MOST_CPUS}`);
  process.exit(2);
}

const points: Point[] = [];
// The largest first: the others use its threads.
for (const variant of VARIANTS) {
  for (const cpus of counts.toSorted((a, b) => b - a)) {
    const measured = await measure(variant, cpus, MACHINE);
    points.push(...measured);
    const rates = measured.map(
      ({ workload, perSecond }) => `${workload} ${(perSecond / 1e6).toPrecision(3)} M/s`,
    );
    console.error(`${variant.name}, ${cpus} CPUs: ${rates.join(", ")}`);
  }
  await destroyIdlePools();
}
points.sort((a, b) => a.cpus - b.cpus);
writeFileSync(join(flags.out, "fault-curves.svg"), plotOf(points));
writeFileSync(
  join(flags.out, "FAULT-CURVES.md"),
  documentOf({
    command: "node bench/fault-curves.ts",
    profile: MACHINE.profile,
    points,
    plot: "fault-curves.svg",
  }),
);
