/**
 * What the benches share: samples taken in turn, figures against targets, and their two ways out (a table, JSON).
 *
 * Samples of everything that is compared are interleaved, in alternating order, so that a drift of the host's speed hits
 * all alike.  The least disturbed samples are the best for a duration and the greatest for a rate, hence minima.
 */

import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import Table from "cli-table3";

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the project promises; a figure without one is for information. */
  readonly atMost?: number;
  readonly atLeast?: number;
  /** Lowest and highest sample, where there are several. */
  readonly range?: readonly [number, number];
}

export interface BenchReport {
  readonly bench: string;
  readonly question: string;
  readonly command: string;
  readonly host: { readonly cores: number; readonly model: string; readonly node: string };
  readonly figures: readonly Figure[];
  /** What kept a part from being measured, such as a missing compiler. */
  readonly notes: readonly string[];
}

export interface Findings {
  readonly figures: readonly Figure[];
  readonly notes?: readonly string[];
}

/** Runs `measure` and prints its figures: as a table, or with `--json` as one line of JSON. */
export async function bench(name: string, question: string, measure: () => Promise<Findings>): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
  const { figures, notes = [] } = await measure();
  const report: BenchReport = {
    bench: name,
    question,
    command: `node bench/${name}.ts`,
    host: { cores: availableParallelism(), model: cpus()[0]?.model ?? "unknown", node: process.version },
    figures,
    notes,
  };
  if (values.json) console.log(JSON.stringify(report));
  else console.log(`${question}\n${tableOf([report])}`);
}

/** The figures of several benches in one table, with a verdict for each target. */
export function tableOf(reports: readonly BenchReport[]): string {
  const table = new Table({
    head: ["bench", "figure", "measured", "range", "target", "verdict"],
    style: { head: [], border: [] },
  });
  for (const report of reports) {
    for (const figure of report.figures) {
      const { name, value, unit, range } = figure;
      table.push([
        report.bench,
        name,
        `${short(value)} ${unit}`,
        range === undefined ? "" : `${short(range[0])} to ${short(range[1])}`,
        targetOf(figure),
        verdictOf(figure),
      ]);
    }
  }
  const notes = reports.flatMap((report) => report.notes.map((note) => `${report.bench}: ${note}`));
  return [table.toString(), ...notes].join("\n");
}

export function verdictOf(figure: Figure): "" | "met" | "MISSED" {
  const { value, atMost, atLeast } = figure;
  if (atMost === undefined && atLeast === undefined) return "";
  return value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity) ? "met" : "MISSED";
}

/** Takes `rounds` samples of each source in turn; `samples[i]` are those of `sources[i]`. */
export async function interleave(
  rounds: number,
  sources: readonly (() => number | Promise<number>)[],
): Promise<number[][]> {
  const samples: number[][] = sources.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const order = sources.map((_, i) => (round % 2 === 0 ? i : sources.length - 1 - i));
    for (const i of order) samples[i].push(await sources[i]());
  }
  return samples;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** A figure that is the least of its samples. */
export function least(name: string, unit: string, samples: readonly number[]): Figure {
  return { name, unit, value: Math.min(...samples), range: rangeOf(samples) };
}

/** A figure that is the median of its samples. */
export function typical(name: string, unit: string, samples: readonly number[]): Figure {
  return { name, unit, value: median(samples), range: rangeOf(samples) };
}

function rangeOf(samples: readonly number[]): [number, number] {
  return [Math.min(...samples), Math.max(...samples)];
}

function targetOf({ atMost, atLeast, unit }: Figure): string {
  if (atMost !== undefined) return `at most ${short(atMost)} ${unit}`;
  return atLeast === undefined ? "" : `at least ${short(atLeast)} ${unit}`;
}

function short(value: number): string {
  if (value === 0 || Math.abs(value) >= 1e15) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
