/**
 * The core-to-core latency matrix: how long a cache line takes from one CPU to another, in nanoseconds.  The workload of
 * the same name measures it; here it is only written down.
 */

import { bug } from "../memory/bug.ts";

const LEAST_WIDTH = 8;

/** `values` are what the workload returned, a row a CPU: `{latencyNs: one figure for each CPU}`. */
export function coreLatency(values: readonly unknown[]): string {
  const cells = values
    .map(rowOf)
    .map((row, from) => row.map((ns, to) => (from === to ? "-" : ns.toFixed(1))));
  const width = Math.max(LEAST_WIDTH, ...cells.flat().map((cell) => cell.length + 2));
  const line = (title: string, row: readonly string[]): string =>
    [title, ...row].map((cell) => cell.padStart(width)).join("");
  const names = values.map((_, cpu) => `CPU${cpu}`);
  const lines = [
    "Core-to-core latency, one way (ns)",
    line("", names),
    ...cells.map((row, from) => line(names[from], row)),
  ];
  return lines.map((text) => `${text}\n`).join("");
}

function rowOf(value: unknown, cpu: number, values: readonly unknown[]): readonly number[] {
  const row = (value as { latencyNs?: unknown } | null)?.latencyNs;
  if (Array.isArray(row) && row.length === values.length) return row;
  return bug(`core latency: cpu ${cpu} measured ${JSON.stringify(row)}, expected ${values.length} figures`);
}
