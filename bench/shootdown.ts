/**
 * Question: what does a program's access cost when the TLB knows the page, and how long does a TLB shootdown take?
 * Method: one CPU reads, then writes, words of 32 pages one after the other (in windows of 10 ms, the least of each); the workload
 *   shootdown with 2 CPUs, whose CPU 0 changes an entry and flushes the page while the other reads it (the best median).
 *   An access is user.read or user.write: translation, the access itself, and the look for interrupts after it.
 * Does not show: misses (a walk of four levels), or shootdowns among more CPUs than the host has cores.
 */

import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { bench, interleave, least } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 40;
const WINDOW_S = 0.01;
const FLUSH_WINDOW_S = 0.1;
const ACCESSES = fileURLToPath(new URL("./programs/user-access.ts", import.meta.url));

await bench(
  "shootdown",
  "What does a user access cost with a TLB hit, and how long does a TLB shootdown take?",
  async () => {
    const reader = await Running.on({ cpus: 1, memory: "16MiB" }, ACCESSES);
    const writer = await Running.on({ cpus: 1, memory: "16MiB" }, ACCESSES, { writes: true });
    const flushes = await Running.on({ cpus: 2, memory: "16MiB" }, "shootdown");
    for (const machine of [reader, writer, flushes]) await machine.run(0.5);
    const [reads, writes, trips] = await interleave(ROUNDS, [
      async () => (await reader.rate("access", WINDOW_S)).nsPerOperation,
      async () => (await writer.rate("access", WINDOW_S)).nsPerOperation,
      () => flushes.metric("round trip p50", FLUSH_WINDOW_S),
    ]);
    await haltAll(reader, writer, flushes);
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
