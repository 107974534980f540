/**
 * The core-to-core latency matrix: how long a cache line takes from one CPU to another, in nanoseconds.  The workload of
 * the same name measures it; here it is only written down.
 */

import { bug } from "../memory/bug.ts";

const WIDTH = 8;

/** `values` are what the workload returned, a row a CPU: `{latencyNs: one figure for each CPU}`. */
export function coreLatency(values: readonly unknown[]): string {
  const rows = values.map(rowOf);
  const cpus = rows.map((_, cpu) => cpu);
  const lines = [
    "Core-to-core latency, one way (ns)",
    `${" ".repeat(WIDTH)}${cpus.map((cpu) => `CPU${cpu}`.padStart(WIDTH)).join("")}`,
    ...rows.map((row, from) => {
      const cells = row.map((ns, to) => (from === to ? "-" : ns.toFixed(1)).padStart(WIDTH));
      return `${`CPU${from}`.padStart(WIDTH)}${cells.join("")}`;
    }),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function rowOf(value: unknown, cpu: number, values: readonly unknown[]): readonly number[] {
  const row = (value as { latencyNs?: unknown } | null)?.latencyNs;
  if (Array.isArray(row) && row.length === values.length) return row;
  return bug(`core latency: cpu ${cpu} measured ${JSON.stringify(row)}, expected ${values.length} figures`);
}
