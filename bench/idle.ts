/**
 * Question: how much of the host does an idle machine use?
 * Method: user and system time of the process over 4 s of wall time, on a machine of 8 CPUs: booted with no program, and
 *   running a program whose CPUs all halt.
 * Does not show: what an idle machine costs in memory.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Machine } from "../src/machine/machine.ts";
import { destroyIdlePools } from "../src/machine/pool.ts";
import { bench } from "./measure.ts";

const WINDOW_MS = 4000;
const HALTED = fileURLToPath(new URL("./programs/halted.ts", import.meta.url));

/** Share of one core that the process uses until `done`. */
async function usage(done: Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  const start = performance.now();
  await done;
  const used = process.cpuUsage(before);
  return ((used.user + used.system) / 1000 / (performance.now() - start)) * 100;
}

await bench("idle", "How much of the host does an idle machine of 8 CPUs use?", async () => {
  const machine = await Machine.boot({ cpus: 8 });
  await sleep(500);
  const booted = await usage(sleep(WINDOW_MS));
  const running = machine.run(HALTED, { seconds: WINDOW_MS / 1000 + 1 });
  await sleep(500);
  const halted = await usage(sleep(WINDOW_MS));
  const { fault } = await running;
  if (fault !== null) throw new Error(fault.message);
  await machine.halt();
  await destroyIdlePools();
  return {
    figures: [
      { name: "no program", value: booted, unit: "% of a core", atMost: 1 },
      { name: "all CPUs halted", value: halted, unit: "% of a core", atMost: 1 },
    ],
  };
});
