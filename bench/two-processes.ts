/**
 * Question: do two processes on two cores take page faults nearly twice as fast as one does?
 * Method: the workload page_fault1 in `mode=process` on one CPU and on two, in windows of 0.25 s that take turns; the ratio is the
 *   best rate of two over the best rate of one.
 * Does not show: anything where the host has one core, or where others use its cores; threads of one process
 *   (docs/FAULT-CURVES.md).
 */

import { availableParallelism } from "node:os";
import { bench, interleave } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 12;
const WINDOW_S = 0.25;
const WARM_UP_S = 2;
const AT_LEAST = 1.8;

await bench("two-processes", "Do two processes on two cores take page faults twice as fast?", async () => {
  const cores = availableParallelism();
  const notes = [`${cores} host cores`];
  if (cores < 2) return { figures: [], notes };
  const options = { mode: "process", pages: 128 };
  const machines = [
    await Running.on({ cpus: 1 }, "page_fault1", options),
    await Running.on({ cpus: 2 }, "page_fault1", options),
  ];
  for (const machine of machines) await machine.run(WARM_UP_S);
  const rate = (machine: Running) => async (): Promise<number> =>
    (await machine.rate("faults", WINDOW_S)).perSecond;
  const [one, two] = await interleave(ROUNDS, machines.map(rate));
  await haltAll(...machines);
  const [best, both] = [Math.max(...one), Math.max(...two)];
  return {
    figures: [
      { name: "page faults of one process", value: best, unit: "/s" },
      { name: "page faults of two processes", value: both, unit: "/s" },
      { name: "two against one", value: both / best, unit: "x", atLeast: AT_LEAST },
    ],
    notes,
  };
});
