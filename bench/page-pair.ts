/**
 * Question: what does an allocation and free of one page through the per-CPU list cost, against the same in C?
 * Method: page-repeat on one CPU, and its C twin (bench/c/page-repeat.c: same layout, algorithm and atomics, gcc -O2), in
 *   windows of 5 ms that take turns, each short enough to fall between two preemptions; the least of each.  V8 compiles
 *   the path anew in every thread, and not always alike, so several threads are tried: their least, and their median.
 * Does not show: misses of the cache (one page stays hot), refills, contention.
 */

import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, interleave, least, typical } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const THREADS = 5;
const ROUNDS = 40;
const WINDOW_S = 0.005;
const WARM_UP_S = 0.5;

await bench("page-pair", "What does a page-list alloc+free pair cost on one CPU, against C?", async () => {
  const twin = compileTwin("page-repeat");
  const theirs = async (): Promise<number> => (await twin?.run(1, WINDOW_S))?.[1] ?? 0;
  const ofThreads: number[] = [];
  const inC: number[] = [];
  for (let thread = 0; thread < THREADS; thread++) {
    const machine = await Running.on({ cpus: 1 }, "page-repeat");
    await machine.run(WARM_UP_S);
    const ours = async (): Promise<number> => (await machine.rate("pair", WINDOW_S)).nsPerOperation;
    const [pairs, twins = []] = await interleave(ROUNDS, twin === null ? [ours] : [ours, theirs]);
    ofThreads.push(Math.min(...pairs));
    inC.push(...twins);
    await haltAll(machine);
  }
  const figures = [least("pair", "ns", ofThreads), typical("pair, median thread", "ns", ofThreads)];
  if (twin === null) return { figures, notes: [NO_GCC] };
  const ratio = Math.min(...ofThreads) / Math.min(...inC);
  return {
    figures: [
      ...figures,
      least("pair in C", "ns", inC),
      { name: "against C", value: ratio, unit: "x", atMost: 2.5 },
    ],
    notes: [twin.command],
  };
});
