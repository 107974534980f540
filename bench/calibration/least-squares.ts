/**
 * Damped least squares (Levenberg 1944, Marquardt 1963) with bounds, for functions that cost seconds: the Jacobian comes
 * from one evaluation a parameter.
 */

export interface Problem {
  /** Residuals at `values`. */
  readonly residuals: (values: readonly number[]) => Promise<readonly number[]>;
  readonly bound: (index: number, value: number) => number;
  readonly onStep: (values: readonly number[], sum: number, note: string) => void;
}

export async function leastSquares(
  problem: Problem,
  start: readonly number[],
  rounds: number,
): Promise<number[]> {
  const { residuals, bound, onStep } = problem;
  let values = [...start];
  let found = await residuals(values);
  let damping = 0.03;
  onStep(values, sumOf(found), "start");
  for (let round = 1; round <= rounds; round++) {
    const slopes: number[][] = [];
    for (let i = 0; i < values.length; i++) {
      let step = Math.max(Math.abs(values[i]) * 0.1, 0.1);
      if (bound(i, values[i] + step) !== values[i] + step) step = -step;
      const moved = await residuals(values.with(i, values[i] + step));
      slopes.push(moved.map((value, k) => (value - found[k]) / step));
    }
    for (let tries = 0; ; tries++) {
      const change = solve(
        normalMatrix(slopes, damping),
        slopes.map((row) => -dot(row, found)),
      );
      const next = values.map((value, i) => bound(i, value + change[i]));
      const there = await residuals(next);
      if (sumOf(there) < sumOf(found)) {
        [values, found] = [next, there];
        damping /= 3;
        onStep(values, sumOf(found), `round ${round}`);
        break;
      }
      damping *= 4;
      if (tries === 4) return values;
    }
  }
  return values;
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * b[i], 0);
const sumOf = (residuals: readonly number[]): number => dot(residuals, residuals);

function normalMatrix(slopes: readonly number[][], damping: number): number[][] {
  return slopes.map((a, i) =>
    slopes.map((b, j) => dot(a, b) * (i === j ? 1 + damping : 1) + (i === j ? 1e-12 : 0)),
  );
}

/** Gaussian elimination with pivots. */
function solve(matrix: number[][], right: number[]): number[] {
  const n = right.length;
  const rows = matrix.map((row, i) => [...row, right[i]]);
  for (let i = 0; i < n; i++) {
    const pivot = rows
      .slice(i)
      .reduce((best, row, k) => (Math.abs(row[i]) > Math.abs(rows[best][i]) ? k + i : best), i);
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k][i] / rows[i][i];
      for (let j = i; j <= n; j++) rows[k][j] -= factor * rows[i][j];
    }
  }
  const result: number[] = new Array(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const known = rows[i].slice(i + 1, n).reduce((sum, value, k) => sum + value * result[i + 1 + k], 0);
    result[i] = (rows[i][n] - known) / rows[i][i];
  }
  return result;
}
