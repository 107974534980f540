/**
 * Question: what does a fork of a process with 64 MiB touched cost, and its copies, against the host's own kernel?
 * Method: one CPU, bench/programs/fork-touched.ts: fork, the child writes to every page and ends, the parent writes to every page
 *   again; and bench/c/fork.c, the same in C (gcc -O2) on the kernel of this computer without huge pages, in windows that take turns;
 *   the least of each.  A copied page's figure has all of its fault: a page, the copy, the flush; a reused one's is a
 *   write to a page that nobody else has any more.
 * Does not show: a fork while others of the process run (the workloads fork1 and cow-storm), the task of the child.  The
 *   host's child is a process that may run on another core while its parent waits; ours is an address space.  A host
 *   that is a virtual machine pays for its faults twice.
 */

import { fileURLToPath } from "node:url";
import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, type Figure, interleave, least } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 8;
const WINDOW_S = 0.4;
const WARM_UP_S = 2;
const PAGES = 16_384;
const MACHINE = { cpus: 1, memory: "256MiB" };
const PROGRAM = fileURLToPath(new URL("./programs/fork-touched.ts", import.meta.url));

/** In the order in which the twin prints them. */
const FIGURES = [
  { phase: "fork", name: "fork of 64 MiB touched" },
  { phase: "copy", name: "a page that the child copies" },
  { phase: "reuse", name: "a page that the parent has again" },
  { phase: "end", name: "the end of the child" },
] as const;

await bench(
  "fork",
  "What does a fork of 64 MiB cost, and its copies, against the host's own kernel?",
  async () => {
    const twin = compileTwin("fork");
    const machine = await Running.on(MACHINE, PROGRAM, { pages: PAGES });
    await machine.run(WARM_UP_S);
    const ours: number[][] = [];
    const theirs: number[][] = [];
    await interleave(ROUNDS, [
      async () => {
        const result = await machine.run(WINDOW_S);
        const phases = result.cpuResults[0].phases;
        ours.push(
          FIGURES.map(({ phase }) => {
            const found = phases.find(({ name }) => name === phase);
            return found === undefined ? Number.NaN : found.elapsedNs / found.operations;
          }),
        );
        return 0;
      },
      async () => {
        if (twin !== null) theirs.push(await twin.run(PAGES, WINDOW_S));
        return 0;
      },
    ]);
    await haltAll(machine);
    const figures = FIGURES.flatMap(({ name }, i): Figure[] => {
      const own = ours.map((sample) => sample[i]);
      const host = theirs.map((sample) => sample[i]);
      if (host.length === 0) return [least(name, "ns", own)];
      const ratio = Math.min(...own) / Math.min(...host);
      return [
        least(name, "ns", own),
        least(`${name}, the host's kernel`, "ns", host),
        { name: `${name}, against the host's kernel`, value: ratio, unit: "x" },
      ];
    });
    return { figures, notes: [twin?.command ?? NO_GCC] };
  },
);
