/** docs/FAULT-CURVES.md: the figures behind the plot, and what shapes them. */

import { type Point, VARIANTS, WORKLOADS } from "./curves.ts";

export interface Findings {
  readonly command: string;
  readonly profile: string;
  readonly points: readonly Point[];
  /** File name of the plot, beside the document. */
  readonly plot: string;
}

export function documentOf({ command, profile, points, plot }: Findings): string {
  const tables = WORKLOADS.map(
    ({ name, title }) => `## ${title}\n\n${table(points.filter((p) => p.workload === name))}`,
  );
  return `# Page faults and mappings, 1 to 64 CPUs

Written by \`${command}\`; do not edit. Workloads: [MEASURING.md](MEASURING.md#address-spaces). Simulated time, profile \`${profile}\` (two sockets
of 32 cores), two regions of 64 pages a CPU (\`mmap1\`: 10 mappings), seed 1: the same figures on every host.

![million operations a simulated second by CPUs](${plot})

## What shapes them

- **mmap_lock only.** Every fault takes \`mmap_lock\` for reading: its one cache line goes from CPU to CPU at each fault, twice, and faults wait
  whenever somebody maps or unmaps. So four and sixteen CPUs do no more than one does alone, and 64 do less.
- **VMA locks.** A fault finds its VMA under RCU and takes that VMA's lock; \`mmap_lock\` is left for mmap, munmap and the first fault in a VMA without an
  anon_vma. Where regions lie far apart (\`mapbench local\`) each CPU has a VMA, a page table and a lock of its own, and faults go on beside each
  other; what is left are mapping and unmapping, one at a time, with a TLB shootdown to all CPUs in each. Regions of 64 pages are small: those
  two are a large part of the work, and the more CPUs, the longer each shootdown.
- **page_fault1 by threads** lets the kernel place the regions, side by side. A new region without an anon_vma merges with its neighbour, so CPUs share VMAs
  all the same: they meet at one VMA lock, they share page tables and thus the lock of each, and whoever maps or unmaps next to them
  write-locks the VMA that they fault in, which sends them to \`mmap_lock\`. With 64 CPUs nothing is left of what the VMA locks had gained.
- **Processes** share neither lock nor tables, and need no shootdowns: what they share is the page allocator, whose \`zone->lock\` they come to wait for.
- **mmap1** changes VMAs only. \`mmap_lock\` is taken for writing twice in each operation, with or without VMA locks: the curves of threads lie on each
  other and fall. Processes gain a little: they meet at the count of committed pages (\`fbc->lock\`), whose per-CPU parts overflow often, and in RCU, which frees
  what was unmapped.

Figures are millions a simulated second of all CPUs together; behind them the lock that was waited for longest, as a part of all CPUs'
time, where it is 1 % or more.

${tables.join("\n\n")}
`;
}

function table(points: readonly Point[]): string {
  const variants = VARIANTS.filter(({ name }) => points.some(({ variant }) => variant === name));
  const counts = [...new Set(points.map(({ cpus }) => cpus))];
  const rows = counts.map((count) => {
    const cells = variants.map(({ name }) => {
      const point = points.find((p) => p.cpus === count && p.variant === name);
      return point === undefined ? "" : cell(point);
    });
    return `| ${[count, ...cells].join(" | ")} |`;
  });
  return [
    `| CPUs | ${variants.map(({ name }) => name).join(" | ")} |`,
    `|---${"|---".repeat(variants.length)}|`,
    ...rows,
  ].join("\n");
}

function cell({ perSecond, lock, lockShare }: Point): string {
  const millions = (perSecond / 1e6).toPrecision(3);
  return lockShare < 0.01 ? millions : `${millions} (\`${lock}\` ${Math.round(lockShare * 100)} %)`;
}
