/**
 * Question: what does a program's access cost when the TLB knows the page, and how long does a TLB shootdown take?
 * Method: one CPU reads, then one writes, all words of 32 pages one after the other (windows of 10 ms, the least of each, each on a
 *   thread of its own: bench/programs/user-access.ts); the workload shootdown with 2 CPUs, whose CPU 0 changes an entry and
 *   flushes the page while the other reads it (the best median).  An access is user.read or user.write: translation,
 *   the access itself, and the look for interrupts after it; the loop around it is counted, too.
 * Does not show: misses (a walk of four levels), or shootdowns among more CPUs than the host has cores.
 */

import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { bench, interleave, least } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 100;
const WINDOW_S = 0.01;
const TRIPS = 30;
const TRIPS_WINDOW_S = 0.1;
const WARM_UP_S = 0.5;
const ACCESSES = fileURLToPath(new URL("./programs/user-access.ts", import.meta.url));

/** Each on a fresh thread: V8 takes what one machine's accesses hang on for constants, not what two do. */
async function accesses(writes: boolean): Promise<readonly number[]> {
  const machine = await Running.on({ cpus: 1, memory: "16MiB" }, ACCESSES, { writes });
  await machine.run(WARM_UP_S);
  const one = async (): Promise<number> => (await machine.rate("access", WINDOW_S)).nsPerOperation;
  const [samples] = await interleave(ROUNDS, [one]);
  await haltAll(machine);
  return samples;
}

await bench(
  "shootdown",
  "What does a user access cost with a TLB hit, and how long does a TLB shootdown take?",
  async () => {
    const reads = await accesses(false);
    const writes = await accesses(true);
    const flushes = await Running.on({ cpus: 2, memory: "16MiB" }, "shootdown");
    await flushes.run(WARM_UP_S);
    const [trips] = await interleave(TRIPS, [() => flushes.metric("round trip p50", TRIPS_WINDOW_S)]);
    await haltAll(flushes);
    return {
      figures: [
        { ...least("read, TLB hit", "ns", reads), atMost: 10 },
        { ...least("write, TLB hit", "ns", writes), atMost: 10 },
        least("shootdown round trip, 2 CPUs", "ns", trips),
      ],
      notes: availableParallelism() < 2 ? ["the host has one core: no two CPUs run at once"] : [],
    };
  },
);
