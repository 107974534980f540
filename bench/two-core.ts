/**
 * Question: do two CPUs on two cores allocate pages twice as fast as one, as nearly as C does?
 * Method: page-repeat on one CPU and on two, and the C twin with one thread and two, in windows of 0.25 s that take turns;
 *   speed-up = best rate of two / best rate of one, for each side.
 * Does not show: anything where the host has one core, or where others use its cores.
 */

import { availableParallelism } from "node:os";
import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, type Figure, interleave } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 12;
const WINDOW_S = 0.25;

const speedUp = (name: string, one: readonly number[], two: readonly number[]): Figure => ({
  name,
  value: Math.max(...two) / Math.max(...one),
  unit: "x",
});

await bench("two-core", "Do two CPUs on two cores allocate pages as much faster as C does?", async () => {
  if (availableParallelism() < 2) return { figures: [], notes: ["the host has one core"] };
  const machines = [
    await Running.on({ cpus: 1 }, "page-repeat"),
    await Running.on({ cpus: 2 }, "page-repeat"),
  ];
  const twin = compileTwin("page-repeat");
  for (const machine of machines) await machine.run(2 * WINDOW_S);
  const sources = machines.map(
    (machine) => async (): Promise<number> => (await machine.rate("pair", WINDOW_S)).perSecond,
  );
  if (twin !== null) {
    for (const threads of [1, 2]) sources.push(async () => (await twin.run(threads, WINDOW_S))[0]);
  }
  const [one, two, oneInC, twoInC] = await interleave(ROUNDS, sources);
  await haltAll(...machines);
  const ours = speedUp("speed-up of two CPUs", one, two);
  if (twin === null) return { figures: [ours], notes: [NO_GCC] };
  const inC = speedUp("speed-up in C", oneInC, twoInC);
  return {
    figures: [ours, inC, { name: "against C", value: ours.value / inC.value, unit: "x", atLeast: 0.95 }],
    notes: [twin.command],
  };
});
