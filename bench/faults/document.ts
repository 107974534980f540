/** docs/FAULT-CURVES.md: the figures behind the plot, and what shapes them. */

import { type Point, REGION_PAGES, VARIANTS, WORKLOADS } from "./curves.ts";

export interface Findings {
  readonly command: string;
  readonly profile: string;
  readonly points: readonly Point[];
  /** File name of the plot, beside the document. */
  readonly plot: string;
}

export function documentOf({ command, profile, points, plot }: Findings): string {
  const tables = WORKLOADS.map(({ name, title }) => {
    const own = points.filter((p) => p.workload === name);
    return `## ${title}\n\n${table(own, rateCell)}\n\nCache lines:\n\n${table(own, lineCell)}`;
  });
  return `# Page faults and mappings, 1 to 64 CPUs

Written by \`${command}\`; do not edit. Workloads: [MEASURING.md](MEASURING.md#address-spaces). Simulated time, profile \`${profile}\` (two sockets
of 32 cores), one region of ${REGION_PAGES} pages a CPU (\`mmap1\`: 10 mappings), seed 1: the same figures on every host.

![million operations a simulated second by CPUs](${plot})

## What shapes them

- **mmap_lock only** (Linux before 6.4). Every fault takes \`mmap_lock\` for reading: the word that counts the readers goes from CPU to CPU at each fault, twice.
  From 16 CPUs on that costs more than all waiting for those who map and unmap, and it does not matter where the regions lie: \`mapbench\` and \`page_fault1\` are alike.
- **VMA locks, regions far apart** (\`mapbench local\`). A fault finds its VMA under RCU and takes that VMA's lock; \`mmap_lock\` is left for mmap, munmap and
  the first fault in a VMA without an anon_vma. Each CPU has a VMA, page tables and a lock of its own: faults share nothing but the page
  allocator. What bends the curve are mapping and unmapping, one at a time, with a TLB shootdown to all CPUs in each: the more CPUs, the longer.
- **VMA locks, page_fault1 by threads.** The kernel places regions side by side, and a new region that has no anon_vma yet merges with its
  neighbour, or takes over its anon_vma and merges later (\`vma_merge_new_range\`, \`reusable_anon_vma\`): all CPUs come to fault in one VMA. Nobody
  excludes anybody there, but each fault counts itself in and out in one word, and that line goes from CPU to CPU as the line of \`mmap_lock\` did before: as
  the tables of cache lines show, here VMA locks only give the line another name. A real kernel merges VMAs of will-it-scale's threads by the same rules, and has
  met this line: its VMA lock was moved out of the VMA since its count and owner, updated all the time, took the fields beside them along.
- **Counted VMAs** (Linux 6.15 to 6.18). One word in the VMA takes the place of the semaphore beside it. Where each has its VMA that saves little; where all share
  one, the word is as contended as the semaphore was.
- **Processes** share neither lock nor tables, and need no shootdowns: what they share is the page allocator, whose \`zone->lock\` they come to wait for.
- **mmap1** changes VMAs only. \`mmap_lock\` is taken for writing twice in each operation, with or without VMA locks: the curves of threads lie on each
  other and fall. Processes share the page allocator, the count of committed pages and RCU, which frees what was unmapped.

Figures are millions a simulated second of all CPUs together; behind them the lock that was waited for longest, as a part of all CPUs'
time, where it is 1 % or more. The tables of cache lines name the structure whose lines cost most on their way between CPUs, with the field that
most of it was for, as a part of all CPUs' time: time that \`lock_stat\` does not see.

${tables.join("\n\n")}
`;
}

function table(points: readonly Point[], cellOf: (point: Point) => string): string {
  const variants = VARIANTS.filter(({ name }) => points.some(({ variant }) => variant === name));
  const counts = [...new Set(points.map(({ cpus }) => cpus))];
  const rows = counts.map((count) => {
    const cells = variants.map(({ name }) => {
      const point = points.find((p) => p.cpus === count && p.variant === name);
      return point === undefined ? "" : cellOf(point);
    });
    return `| ${[count, ...cells].join(" | ")} |`;
  });
  return [
    `| CPUs | ${variants.map(({ name }) => name).join(" | ")} |`,
    `|---${"|---".repeat(variants.length)}|`,
    ...rows,
  ].join("\n");
}

function rateCell({ perSecond, lock, lockShare }: Point): string {
  const millions = (perSecond / 1e6).toPrecision(3);
  return lockShare < 0.01 ? millions : `${millions} (${part(lock, lockShare)})`;
}

const lineCell = ({ line, lineShare }: Point): string => (lineShare < 0.01 ? "" : part(line, lineShare));

const part = (name: string, share: number): string => `\`${name}\` ${Math.round(share * 100)} %`;
