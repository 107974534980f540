/**
 * How SLUB, SLAB and SLOB scale in simulated time: slab-hot, slab-burst, slab-remote and slab-one-to-many on 1 to 64 CPUs.
 *
 *   node bench/slab-curves.ts                       writes docs/SLAB-CURVES.md and its plot
 *   node bench/slab-curves.ts --cpus 1,4 --out .    some, written elsewhere
 *
 * Takes minutes; simulated results do not depend on the host or its load.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { destroyIdlePools } from "../src/machine/pool.ts";
import { ALLOCATORS, measure, type Point } from "./slab/curves.ts";
import { documentOf } from "./slab/document.ts";
import { plotOf } from "./slab/plot.ts";

const OUT = fileURLToPath(new URL("../docs", import.meta.url));
const PROFILE = "xeon-8375c-2s";
const MEMORY = "512MiB";
const MOST_CPUS = 64;

const { values: flags } = parseArgs({
  options: {
    cpus: { type: "string", default: "1,2,4,8,16,32,64" },
    seconds: { type: "string", default: "0.0003" },
    out: { type: "string", default: OUT },
  },
});
const counts = flags.cpus.split(",").map(Number);
const wrong = counts.find((count) => !Number.isInteger(count) || count < 1 || count > MOST_CPUS);
const seconds = Number(flags.seconds);
if (wrong !== undefined || !(seconds >= 0.00001 && seconds <= 0.01)) {
  console.error(
    `--cpus ${flags.cpus} --seconds ${flags.seconds}: valid are whole numbers from 1 to ${MOST_CPUS}, and 0.00001 to 0.01`,
  );
  process.exit(2);
}

const points: Point[] = [];
// The largest first: the others use its threads.
for (const allocator of ALLOCATORS) {
  for (const cpus of counts.toSorted((a, b) => b - a)) {
    points.push(...(await measure({ allocator, cpus, profile: PROFILE, memory: MEMORY, seconds })));
    console.error(`${allocator}, ${cpus} CPUs done`);
  }
  await destroyIdlePools();
}
points.sort((a, b) => a.cpus - b.cpus);
writeFileSync(join(flags.out, "slab-curves.svg"), plotOf(points));
writeFileSync(
  join(flags.out, "SLAB-CURVES.md"),
  documentOf({
    command: "node bench/slab-curves.ts",
    profile: PROFILE,
    seconds,
    points,
    plot: "slab-curves.svg",
  }),
);
