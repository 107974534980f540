/**
 * Question: what does the default lock cost when nobody else wants it, against the same in C?
 * Method: lock and unlock on one CPU, and the C twin (bench/c/spinlock.c: same words, bookkeeping and atomics, gcc -O2), in
 *   windows of 5 ms that take turns, each short enough to fall between two preemptions; the least of each.
 * Does not show: contention (bench/oversubscribed.ts, workload lock), or a lock that another CPU had last.
 */

import { fileURLToPath } from "node:url";
import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, interleave, least } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 150;
const WINDOW_S = 0.005;
const WARM_UP_S = 0.5;
const PAIRS_IN_C = 500_000;
const LOCK_PAIRS = fileURLToPath(new URL("./programs/lock-pairs.ts", import.meta.url));

await bench("lock-pair", "What does an uncontended lock and unlock cost, against C?", async () => {
  const machine = await Running.on({ cpus: 1 }, LOCK_PAIRS);
  const twin = compileTwin("spinlock");
  await machine.run(WARM_UP_S);
  const ours = async (): Promise<number> => (await machine.rate("pairs", WINDOW_S)).nsPerOperation;
  const theirs = async (): Promise<number> => (await twin?.run(PAIRS_IN_C))?.[0] ?? 0;
  const [pairs, inC] = await interleave(ROUNDS, twin === null ? [ours] : [ours, theirs]);
  await haltAll(machine);
  if (twin === null) return { figures: [least("pair", "ns", pairs)], notes: [NO_GCC] };
  return {
    figures: [
      least("pair", "ns", pairs),
      least("pair in C", "ns", inC),
      { name: "against C", value: Math.min(...pairs) / Math.min(...inC), unit: "x", atMost: 2.3 },
    ],
    notes: [twin.command],
  };
});
