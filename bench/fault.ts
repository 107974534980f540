/**
 * Question: what does a minor fault on anonymous memory cost, against the host's own kernel?
 * Method: the workload page_fault1 on one CPU (mmap, a write to each page, munmap), with regions of 256 pages and of one, and
 *   bench/c/fault.c, the same loop in C (gcc -O2) on the kernel of this computer without huge pages, in windows that take turns;
 *   the least of each.  A page's figure is all of that loop over its pages: fault, zeroing, table, unmapping, freeing.
 * Does not show: faults of several CPUs (docs/FAULT-CURVES.md), an access without a fault (bench/shootdown.ts).  A host that
 *   is a virtual machine pays for its faults twice.
 */

import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, type Figure, interleave, least } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const ROUNDS = 30;
const WINDOW_S = 0.02;
const WARM_UP_S = 2;
const PAGES = 256;
const MACHINE = { cpus: 1, memory: "64MiB" };

await bench("fault", "What does a minor anonymous fault cost, against the host's own kernel?", async () => {
  const twin = compileTwin("fault");
  const faults = await compare(PAGES, twin);
  const singles = await compare(1, twin);
  const own: Figure[] = [
    { ...least(`page of ${PAGES}`, "ns", faults.ours), atMost: 1000 },
    least("mmap, touch, munmap of one page", "ns", singles.ours),
  ];
  if (twin === null) return { figures: own, notes: [NO_GCC] };
  return {
    figures: [
      ...own,
      least(`page of ${PAGES}, the host's kernel`, "ns", faults.theirs),
      { ...ratio(`page of ${PAGES}, against the host's kernel`, faults), atMost: 1 },
      least("mmap, touch, munmap of one page, the host's kernel", "ns", singles.theirs),
      { ...ratio("mmap, touch, munmap of one page, against the host's kernel", singles), atMost: 1 },
    ],
    notes: [twin.command],
  };
});

interface Sides {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}

/** ns of a page in regions of `pages` pages. */
async function compare(pages: number, twin: ReturnType<typeof compileTwin>): Promise<Sides> {
  const machine = await Running.on(MACHINE, "page_fault1", { pages });
  await machine.run(WARM_UP_S);
  const [ours, theirs] = await interleave(ROUNDS, [
    async () => (await machine.rate("faults", WINDOW_S)).nsPerOperation,
    async () => (await twin?.run(pages, WINDOW_S))?.[0] ?? Number.NaN,
  ]);
  await haltAll(machine);
  return { ours, theirs };
}

function ratio(name: string, { ours, theirs }: Sides): Figure {
  return { name, value: Math.min(...ours) / Math.min(...theirs), unit: "x" };
}
