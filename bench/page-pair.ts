/**
 * Question: what does an allocation and free of one page through the per-CPU list cost, against the same in C?
 * Method: page-repeat on one CPU, and its C twin (bench/c/page-repeat.c: same layout, algorithm and atomics, gcc -O2), in
 *   windows of 5 ms that take turns, each short enough to fall between two preemptions; the least of each.
 * Does not show: misses of the cache (one page stays hot), refills, contention.
 */

import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, interleave, least } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 150;
const WINDOW_S = 0.005;
const WARM_UP_S = 0.5;

await bench("page-pair", "What does a page-list alloc+free pair cost on one CPU, against C?", async () => {
  const machine = await Running.on({ cpus: 1 }, "page-repeat");
  const twin = compileTwin("page-repeat");
  await machine.run(WARM_UP_S);
  const ours = async (): Promise<number> => 2 * (await machine.rate("pair", WINDOW_S)).nsPerOperation;
  const theirs = async (): Promise<number> => (await twin?.run(1, WINDOW_S))?.[1] ?? 0;
  const [pairs, inC] = await interleave(ROUNDS, twin === null ? [ours] : [ours, theirs]);
  await haltAll(machine);
  if (twin === null) return { figures: [least("pair", "ns", pairs)], notes: [NO_GCC] };
  return {
    figures: [
      least("pair", "ns", pairs),
      least("pair in C", "ns", inC),
      { name: "against C", value: Math.min(...pairs) / Math.min(...inC), unit: "x", atMost: 2.5 },
    ],
    notes: [twin.command],
  };
});
