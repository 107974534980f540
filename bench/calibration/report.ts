/** Published and simulated figures side by side. */

import Table from "cli-table3";

export interface Point {
  readonly curve: string;
  readonly cores: number;
  /** Nanoseconds. */
  readonly published: number;
  readonly simulated: number;
  /** simulated / published - 1 */
  readonly error: number;
}

/** A row for each curve, a column for each number of cores: simulated nanoseconds, and the error. */
export function errorTable(points: readonly Point[]): string {
  const counts = [...new Set(points.map(({ cores }) => cores))];
  const table = new Table({
    head: ["ns", ...counts.map(String)],
    style: { head: [], border: [], compact: true },
  });
  for (const curve of new Set(points.map((point) => point.curve))) {
    const own = points.filter((point) => point.curve === curve);
    table.push([curve, ...own.map(({ simulated, error }) => `${Math.round(simulated)}\n${percent(error)}`)]);
  }
  return table.toString();
}

export function summary(points: readonly Point[]): string {
  const errors = points.map(({ error }) => Math.abs(error));
  const worst = points.reduce((a, b) => (Math.abs(a.error) >= Math.abs(b.error) ? a : b));
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return `mean absolute error ${percent(mean)}, greatest ${percent(worst.error)} (${worst.curve}, ${worst.cores} cores)`;
}

/** How much results change from one size to another, where both have a point. */
export function sizeEffect(a: readonly Point[], b: readonly Point[], sizes: string): string {
  const changes = b.flatMap((point) => {
    const other = a.find(({ curve, cores }) => curve === point.curve && cores === point.cores);
    return other === undefined ? [] : [{ ...point, change: point.simulated / other.simulated - 1 }];
  });
  const most = changes.reduce((x, y) => (Math.abs(x.change) >= Math.abs(y.change) ? x : y));
  return `from ${sizes}, results change by at most ${percent(most.change)} (${most.curve}, ${most.cores} cores)`;
}

export const percent = (ratio: number): string => `${(100 * ratio).toFixed(1)} %`;
