/**
 * Question: do two CPUs on two cores allocate pages, and objects, twice as fast as one, as nearly as C does?
 * Method: page-repeat, then slab-hot, on one CPU and on two, and the C twin with one thread and two, in windows of 0.25 s
 *   that take turns; speed-up = best rate of two / best rate of one, for each side.
 * Does not show: anything where the host has one core, or where others use its cores.
 */

import { availableParallelism } from "node:os";
import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, type Figure, type Findings, interleave } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 12;
const WINDOW_S = 0.25;

const speedUp = (name: string, one: readonly number[], two: readonly number[]): Figure => ({
  name,
  value: Math.max(...two) / Math.max(...one),
  unit: "x",
});

await bench("two-core", "Do two CPUs on two cores allocate as much faster as C does?", async () => {
  if (availableParallelism() < 2) return { figures: [], notes: ["the host has one core"] };
  const pages = await compare("page-repeat", "page-repeat", "pages");
  const objects = await compare("slab-hot", "slab-pair", "objects");
  return {
    figures: [...pages.figures, ...objects.figures],
    notes: [...pages.notes, ...objects.notes],
  };
});

async function compare(workload: string, twinName: string, what: string): Promise<Required<Findings>> {
  const machines = [await Running.on({ cpus: 1 }, workload), await Running.on({ cpus: 2 }, workload)];
  const twin = compileTwin(twinName);
  for (const machine of machines) await machine.run(2 * WINDOW_S);
  const sources = machines.map(
    (machine) => async (): Promise<number> => (await machine.rate("pair", WINDOW_S)).perSecond,
  );
  if (twin !== null) {
    for (const threads of [1, 2]) sources.push(async () => (await twin.run(threads, WINDOW_S))[0]);
  }
  const [one, two, oneInC, twoInC] = await interleave(ROUNDS, sources);
  await haltAll(...machines);
  const ours = speedUp(`${what}: speed-up of two CPUs`, one, two);
  if (twin === null) return { figures: [ours], notes: [NO_GCC] };
  const inC = speedUp(`${what}: speed-up in C`, oneInC, twoInC);
  const ratio = ours.value / inC.value;
  return {
    figures: [ours, inC, { name: `${what}: against C`, value: ratio, unit: "x", atLeast: 0.95 }],
    notes: [twin.command],
  };
}
