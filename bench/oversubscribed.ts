/**
 * Question: does the default lock survive many more CPUs than cores?
 * Method: the workload lock with 0.5 us held and 2.3 us outside: 2 CPUs, and 32 CPUs, in windows of 2 s that take turns;
 *   throughput of 32 / throughput of 2, and the slowest CPU's rate over the fastest's, medians.
 * Does not show: hosts with more than 2 cores as such: there 32 CPUs also have more cores than 2 CPUs.
 */

import { availableParallelism } from "node:os";
import { bench, type Figure, interleave, typical } from "./measure.ts";
import { haltAll, type Rate, Running } from "./running.ts";

const ROUNDS = 6;
const WINDOW_S = 2;
const OPTIONS = { hold: 500, think: 2300 };

await bench("oversubscribed", "Does the default lock survive 32 CPUs on few cores?", async () => {
  const few = await Running.on({ cpus: 2 }, "lock", OPTIONS);
  const many = await Running.on({ cpus: 32 }, "lock", OPTIONS);
  for (const machine of [few, many]) await machine.run(WINDOW_S / 4);
  const rates: Rate[] = [];
  const [withFew, withMany] = await interleave(ROUNDS, [
    async () => (await few.rate("sections", WINDOW_S)).perSecond,
    async () => {
      const rate = await many.rate("sections", WINDOW_S);
      rates.push(rate);
      return rate.perSecond;
    },
  ]);
  await haltAll(few, many);
  const kept = withMany.map((rate, round) => rate / withFew[round]);
  const fairness = typical(
    "slowest / fastest CPU",
    "",
    rates.map((rate) => rate.fairness),
  );
  const figures: Figure[] = [
    typical("2 CPUs", "sections/s", withFew),
    typical("32 CPUs", "sections/s", withMany),
    { ...typical("throughput kept", "of that of 2 CPUs", kept), atLeast: 0.7 },
    { ...fairness, atLeast: 0.7 },
  ];
  return { figures, notes: [`the host has ${availableParallelism()} cores`] };
});
