/**
 * Question: how long does a function call on another CPU take, and one on all of eight busy CPUs?
 * Method: ipi-ping with 2 CPUs, ipi-broadcast with 9 (CPU 0 calls, 8 are busy); the median latency of each run of 0.5 s,
 *   and of these the best (ping: undisturbed) or the median (broadcast: part of it is the host's scheduling).
 * Does not show: calls to halted CPUs (workload option targets=halted), or hosts with one core.
 */

import { availableParallelism } from "node:os";
import { bench, interleave, least, typical } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 10;
const WINDOW_S = 0.5;

await bench(
  "ipi",
  "How long does a function call on another CPU, and on eight busy ones, take?",
  async () => {
    const ping = await Running.on({ cpus: 2 }, "ipi-ping");
    const broadcast = await Running.on({ cpus: 9 }, "ipi-broadcast");
    for (const machine of [ping, broadcast]) await machine.run(WINDOW_S);
    const [trips, broadcasts] = await interleave(ROUNDS, [
      () => ping.metric("round trip p50", WINDOW_S),
      () => broadcast.metric("broadcast p50", WINDOW_S),
    ]);
    await haltAll(ping, broadcast);
    return {
      figures: [
        { ...least("round trip, both running", "ns", trips), atMost: 1000 },
        { ...typical("broadcast to 8 busy CPUs", "ns", broadcasts), atMost: 500_000 },
      ],
      notes: availableParallelism() < 2 ? ["the host has one core: no two CPUs run at once"] : [],
    };
  },
);
