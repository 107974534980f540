/**
 * Question: what does a context switch cost, against the host's own kernel?
 * Method: the workload context_switch on one CPU, two generators that give way to each other (sched_yield), as processes and as
 *   threads of one, without reading anything; and bench/c/context-switch.c, two tasks on one CPU of the host that wake each
 *   other through pipes (gcc -O2); in windows that take turns, the least of each.
 * Does not show: what a switch makes dear afterwards (caches; TLBs: option `pages`, --compare pcid=true,false in simulated
 *   time), nor switches to a task that another CPU wakes.  The pipes' calls are in the host's figure, ours has sched_yield.
 */

import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, type Figure, interleave, least } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 20;
const WINDOW_S = 0.05;
const WARM_UP_S = 1;
const MACHINE = { cpus: 1, memory: "64MiB" };
const KINDS = ["process", "thread"] as const;

await bench("context-switch", "What does a context switch cost, against the host's own kernel?", async () => {
  const twin = compileTwin("context-switch");
  const machines: Running[] = [];
  for (const mode of KINDS) machines.push(await Running.on(MACHINE, "context_switch", { mode, pages: 0 }));
  for (const machine of machines) await machine.run(WARM_UP_S);
  const sources = machines.map(
    (machine) => async (): Promise<number> => (await machine.rate("switches", WINDOW_S)).nsPerOperation,
  );
  for (const mode of KINDS) sources.push(async () => (await twin?.run(mode, WINDOW_S))?.[0] ?? Number.NaN);
  const found = await interleave(ROUNDS, sources);
  await haltAll(...machines);
  const names = ["between processes", "between threads"];
  const figures: Figure[] = names.map((name, i) => least(name, "ns", found[i]));
  if (twin === null) return { figures, notes: [NO_GCC] };
  for (const [i, name] of names.entries()) {
    figures.push(least(`${name}, the host's kernel, with a pipe`, "ns", found[KINDS.length + i]));
    const ratio = Math.min(...found[i]) / Math.min(...found[KINDS.length + i]);
    figures.push({ name: `${name}, against the host's kernel`, value: ratio, unit: "x" });
  }
  return { figures, notes: [twin.command] };
});
