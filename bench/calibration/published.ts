/**
 * The published curves of Linux 6.0's page allocator: mean nanoseconds by cores, from test/oracle/linux-buddy-scaling.
 *
 * `repeat` times a pair, an allocation and the free of it; `rand` times the frees of shuffled blocks only.  Both record
 * the one figure as `get` and as `put` (repeat and rand of linux-alloc-bench, the module that measured them; that rand
 * has no allocation in it can be seen in the figures: 512 ns for order 9, of which one allocation alone takes 2615).
 */

import { readFileSync } from "node:fs";

export const CORES = 26;
export const ORDERS = [0, 9] as const;

export interface Curve {
  readonly name: string;
  readonly workload: "page-bulk" | "page-rand" | "page-repeat";
  readonly phase: "alloc" | "free" | "pair";
  readonly order: number;
  /** Nanoseconds, mean over iterations, by cores - 1. */
  readonly ns: readonly number[];
}

const FILES = [
  { file: "bulk", workload: "page-bulk", phase: "alloc", column: "get_avg" },
  { file: "bulk", workload: "page-bulk", phase: "free", column: "put_avg" },
  { file: "rand", workload: "page-rand", phase: "free", column: "put_avg" },
  { file: "repeat", workload: "page-repeat", phase: "pair", column: "put_avg" },
] as const;

export function publishedCurves(): Curve[] {
  return ORDERS.flatMap((order) =>
    FILES.map(({ file, workload, phase, column }) => ({
      name: `${file} ${phase}, order ${order}`,
      workload,
      phase,
      order,
      ns: meansOf(`${file}-order${order}.csv`, column),
    })),
  );
}

function meansOf(file: string, column: string): number[] {
  const url = new URL(`../../test/oracle/linux-buddy-scaling/${file}`, import.meta.url);
  const [head, ...rows] = readFileSync(url, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(","));
  const [x, value] = [head.indexOf("x"), head.indexOf(column)];
  return Array.from({ length: CORES }, (_, i) => {
    const found = rows.filter((row) => Number(row[x]) === i + 1).map((row) => Number(row[value]));
    return found.reduce((sum, ns) => sum + ns, 0) / found.length;
  });
}
