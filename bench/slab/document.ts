/** docs/SLAB-CURVES.md: the figures behind the plot, and what shapes them. */

import { ALLOCATORS, type Point, WORKLOADS } from "./curves.ts";

export interface Findings {
  readonly command: string;
  readonly profile: string;
  readonly seconds: number;
  readonly points: readonly Point[];
  /** File name of the plot, beside the document. */
  readonly plot: string;
}

export function documentOf({ command, profile, seconds, points, plot }: Findings): string {
  const tables = WORKLOADS.map(
    ({ name }) => `## ${name}\n\n${table(points.filter((p) => p.workload === name))}`,
  );
  return `# Three object allocators, 1 to 64 CPUs

Written by \`${command}\`; do not edit. Workloads: [MEASURING.md](MEASURING.md#object-caches). Simulated time, profile \`${profile}\` (two sockets
of 32 cores), ${seconds} simulated seconds a run, objects of 256 bytes, seed 1: the same figures on every host.

![million operations a simulated second by CPUs](${plot})

## What shapes them

- **SLUB** takes and frees on its own CPU without any lock: \`slab-hot\` is a straight line. A burst of 256 objects is more than a CPU's slab and
  partial slabs hold, so that each burst moves slabs to and from the node's list under \`list_lock\`, and many CPUs meet there. (Where a curve jumps,
  the formulas have given slabs of a larger order for more CPUs: more objects for each visit.) A free of another CPU's object is an exchange of
  its slab's word, whose line comes from that CPU each time: \`slab-remote\` falls as soon as there are two CPUs, and grows again where each pair of
  neighbours has its own lines.
- **SLAB** takes from and frees into an array of its CPU, whatever CPU the object came from: \`slab-hot\` is a straight line too, and a remote free costs
  no more than a local one until the array is full. Then a batch goes to the array that the node's CPUs share, or to its lists, under
  \`list_lock\`: one visit for a batch of objects, so that a few CPUs do more bursts than with SLUB; but every burst needs them, and from 8 CPUs
  on the waiting for \`list_lock\` decides; more CPUs then do less. (One CPU alone has no shared array.) With 64 CPUs there are two nodes, each with its own lock; what
  one node's CPU allocates and the other's frees goes through alien caches, whose lock the receivers meet at (\`slab-one-to-many\`).
- **SLOB** has one lock for everything. With one CPU it is slow, for it looks through pages for a place that fits; with more CPUs all wait for the
  one lock, and together they do less than one did alone, for the lock's line and those of the pages travel.
- **On one CPU** SLUB's pair costs two exchanges of two words, SLAB's two times interrupts off and on. Published for Linux at 4 GHz are 10.5 to 11.9 ns and
  21.8 ns; the prices of the two instructions are estimates from that (\`work.PAIR_EXCHANGE\`, \`work.IRQ_SAVE\`), the rest of both paths is accesses that hit.

Figures are million operations a simulated second of all CPUs together; behind them the lock that was waited for longest, as a part of all
CPUs' time, where it is 1 % or more.

${tables.join("\n\n")}
`;
}

function table(points: readonly Point[]): string {
  const counts = [...new Set(points.map(({ cpus }) => cpus))];
  const rows = counts.map((count) => {
    const cells = ALLOCATORS.map((allocator) => {
      const point = points.find((p) => p.cpus === count && p.allocator === allocator);
      return point === undefined ? "" : cell(point);
    });
    return `| ${[count, ...cells].join(" | ")} |`;
  });
  return [
    `| CPUs | ${ALLOCATORS.map((name) => name.toUpperCase()).join(" | ")} |`,
    `|---${"|---".repeat(ALLOCATORS.length)}|`,
    ...rows,
  ].join("\n");
}

function cell({ perSecond, lock, lockShare }: Point): string {
  const millions = (perSecond / 1e6).toPrecision(3).replace(/e\+?\d+$/, "");
  const shown = perSecond >= 1e9 ? Math.round(perSecond / 1e6) : millions;
  return lockShare < 0.01 ? `${shown}` : `${shown} (\`${lock}\` ${Math.round(lockShare * 100)} %)`;
}
