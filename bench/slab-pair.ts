/**
 * Question: what do an allocation and a free of one object cost on SLUB's fast path, and a free into a slab that is not
 *   the CPU's, against the same in C?
 * Method: slab-hot on one CPU (256 bytes), and its C twin (bench/c/slab-pair.c: same structures and checks, gcc -O2), in
 *   windows of 5 ms that take turns, each short enough to fall between two preemptions; the least of each.  V8 compiles
 *   the path anew in every thread, and not always alike, so several threads are tried.  Frees elsewhere: 510 of the
 *   512 objects of 8 bytes of one slab, in a row.
 * Does not show: misses of the cache (one object, one slab stay hot), refills, contention.
 *
 * Published for Linux on a Core i7-4790K at 4 GHz, the same size and loop ("fastpath reuse" of
 * slab_bulk_test01): 42 to 47 cycles, 10.5 to 11.9 ns (commits 0b4d334ff0d8 and d0ecd894e3d5).
 */

import { fileURLToPath } from "node:url";
import { compileTwin, NO_GCC } from "./c-twin.ts";
import { bench, type Figure, interleave, least, typical } from "./measure.ts";
import { haltAll, Running } from "./running.ts";

const THREADS = 5;
const ROUNDS = 40;
const WINDOW_S = 0.005;
const WARM_UP_S = 0.5;
/** Rounds of the twin's frees in one window. */
const TWIN_ROUNDS = 500;
const REMOTE = fileURLToPath(new URL("./programs/remote-frees.ts", import.meta.url));

await bench("slab-pair", "What does SLUB's fast path cost on one CPU, against C?", async () => {
  const twin = compileTwin("slab-pair");
  const inC = async (...args: (string | number)[]): Promise<number> =>
    (await twin?.run(...args))?.at(-1) ?? Number.NaN;
  const pairs = await compare("slab-hot", "pair", () => inC(1, WINDOW_S));
  const frees = await compare(REMOTE, "frees", () => inC("remote", TWIN_ROUNDS));
  const figures = [least("pair", "ns", pairs.ours), typical("pair, median thread", "ns", pairs.ours)];
  if (twin === null)
    return { figures: [...figures, least("free elsewhere", "ns", frees.ours)], notes: [NO_GCC] };
  return {
    figures: [
      ...figures,
      least("pair in C", "ns", pairs.theirs),
      { ...ratio("against C", pairs), atMost: 2.5 },
      least("free elsewhere", "ns", frees.ours),
      least("free elsewhere in C", "ns", frees.theirs),
      ratio("free elsewhere, against C", frees),
    ],
    notes: [twin.command],
  };
});

interface Sides {
  /** The least of each thread. */
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}

async function compare(program: string, phase: string, twin: () => Promise<number>): Promise<Sides> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let thread = 0; thread < THREADS; thread++) {
    const machine = await Running.on({ cpus: 1 }, program);
    await machine.run(WARM_UP_S);
    const window = async (): Promise<number> => (await machine.rate(phase, WINDOW_S)).nsPerOperation;
    const [own, other] = await interleave(ROUNDS, [window, twin]);
    ours.push(Math.min(...own));
    theirs.push(Math.min(...other));
    await haltAll(machine);
  }
  return { ours, theirs };
}

function ratio(name: string, { ours, theirs }: Sides): Figure {
  return { name, value: Math.min(...ours) / Math.min(...theirs), unit: "x" };
}
