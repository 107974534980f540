/**
 * The plots of the HTML report, as SVG text.
 *
 * What the wall clock says with more CPUs than can run at once is no scaling: such points are hollow, their line is
 * dashed, and the place where the host ends is marked.  Colours are CSS variables, so that the page can be read by day
 * and by night.
 */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { type ClockWords, isExtrapolated, isMixed, wordsOf } from "./clock-words.ts";
import { count, duration, percent, plural, ratio } from "./format.ts";
import type { Experiment, PhaseRow, Row } from "./report-model.ts";
import type { Spread } from "./statistics.ts";

const WIDTH = 420;
const HEIGHT = 280;
/** Series colours that the page's style defines. */
export const SERIES_COLOURS = 6;
const LOCKS_SHOWN = 5;
/** The ideal may take this many times the height of what was measured, and leaves the plot beyond. */
const IDEAL_ROOM = 2.5;
/** CPU counts that an axis has room to name. */
const LANDMARKS = 12;

interface Point {
  readonly cpus: number;
  readonly series: number;
  readonly label: string;
  readonly row: Row;
  readonly figures: PhaseRow;
  readonly words: ClockWords;
}

type Marks = NonNullable<Plot.PlotOptions["marks"]>;

export const seriesColour = (i: number): string => `var(--series-${(i % SERIES_COLOURS) + 1})`;

/**
 * Operations a second over CPUs, with each variant's ideal and the end of the host.  By two clocks only speed-ups can be
 * drawn together.
 */
export function throughputChart(experiment: Experiment, phase: string): string {
  const points = pointsOf(experiment, phase);
  const isRelative = isMixed(experiment);
  const scale = (point: Point): number => (isRelative ? (baseOf(point, points) ?? Number.NaN) : 1);
  const ideals = points.flatMap((point) => idealOf(point, points, scale(point)));
  const highest = Math.max(...points.map((point) => point.figures.opsPerSecond.max / scale(point)));
  const top = Math.min(IDEAL_ROOM * highest, Math.max(highest, ...ideals.map(({ value }) => value)));
  return chart(experiment, points, {
    y: { label: null, tickFormat: isRelative ? tick(ratio) : tick(count), domain: [0, top] },
    marks: [
      Plot.line(
        ideals.map((ideal) => cutAt(top, ideal)),
        {
          x: "cpus",
          y: "value",
          z: "series",
          stroke: "currentColor",
          strokeOpacity: 0.45,
          strokeDasharray: "1 4",
          strokeLinecap: "round",
        },
      ),
      ...seriesMarks(points, (p) => {
        const { median, min, max } = p.figures.opsPerSecond;
        const over = scale(p);
        return { median: median / over, min: min / over, max: max / over };
      }),
    ],
  });
}

/** Time of a CPU per operation, with quartiles. */
export function costChart(experiment: Experiment, phase: string): string {
  const points = pointsOf(experiment, phase);
  return chart(experiment, points, {
    y: { label: null, tickFormat: tick(duration) },
    marks: seriesMarks(points, (p) => p.figures.nsPerOp),
  });
}

/** Rate of each CPU relative to the mean of its row: a point a CPU. */
export function fairnessChart(experiment: Experiment, phase: string): string {
  const points = pointsOf(experiment, phase);
  const dots = points.flatMap((point) => {
    const rates = point.figures.perCpu.flatMap((rate, cpu) => (rate === null ? [] : [{ cpu, rate }]));
    const mean = rates.reduce((sum, { rate }) => sum + rate, 0) / rates.length;
    return rates.map(({ cpu, rate }) => ({ ...point, cpu, relative: rate / mean }));
  });
  const shift = (series: number): number => (series - (experiment.variants.length - 1) / 2) * 7;
  return chart(experiment, points, {
    y: { label: null, tickFormat: (v: number) => v.toFixed(1), zero: true },
    marks: [
      Plot.ruleY([1], { stroke: "currentColor", strokeOpacity: 0.3 }),
      ...experiment.variants.map((_, i) =>
        Plot.dot(
          dots.filter((dot) => dot.series === i),
          {
            x: "cpus",
            y: "relative",
            dx: shift(i),
            r: 3,
            stroke: seriesColour(i),
            fill: (dot: Point) => (dot.row.oversubscribed ? "none" : seriesColour(i)),
            fillOpacity: 0.35,
            title: (dot: Point & { cpu: number; relative: number }) =>
              `${nameOf(dot)}CPU ${dot.cpu} of ${dot.cpus}: ${dot.relative.toFixed(2)} of the mean`,
          },
        ),
      ),
    ],
  });
}

/** Share of CPU time spent waiting, by lock: a bar a row; "" when nobody waited. */
export function lockChart(experiment: Experiment): string {
  const bars = experiment.variants.flatMap(({ label, rows }) => {
    const shown = landmarks(rows.map((row) => row.cpus));
    return rows
      .filter((row) => shown.includes(row.cpus))
      .map((row) => ({
        name: `${label === "" ? "" : `${label}, `}${row.cpus}${row.oversubscribed ? "*" : ""}`,
        row,
      }));
  });
  const locks = mostWaited(bars.map(({ row }) => row));
  if (locks.length === 0) return "";
  const parts = bars.flatMap(({ name, row }) =>
    locks.map((lock, i) => ({
      name,
      i,
      lock,
      share: row.locks.find((candidate) => candidate.name === lock)?.waitShare ?? 0,
    })),
  );
  const longest = Math.max(...bars.map(({ name }) => name.length));
  return draw({
    width: WIDTH,
    height: 70 + 26 * bars.length,
    marginLeft: 20 + 7 * longest,
    marginTop: 10,
    marginBottom: 40,
    x: {
      label: "share of CPU time spent waiting",
      tickFormat: tick(percent),
      grid: true,
      zero: true,
      ticks: 5,
    },
    y: { label: null, domain: bars.map(({ name }) => name), padding: 0.3 },
    color: { type: "ordinal", domain: locks, range: locks.map((_, i) => seriesColour(i)) },
    marks: [
      Plot.barX(parts, {
        x: "share",
        y: "name",
        fill: "lock",
        title: (part) => `${part.lock}: ${percent(part.share)} of CPU time with ${part.name} CPUs`,
      }),
      Plot.ruleX([0], { stroke: "currentColor" }),
    ],
  });
}

/** The locks that `lockChart` has colours for, most waited for first. */
export function mostWaited(rows: readonly Row[]): string[] {
  const shares = new Map<string, number>();
  for (const lock of rows.flatMap((row) => row.locks)) {
    shares.set(lock.name, Math.max(shares.get(lock.name) ?? 0, lock.waitShare));
  }
  return [...shares]
    .filter(([, share]) => share >= 0.001)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, LOCKS_SHOWN)
    .map(([name]) => name);
}

function pointsOf(experiment: Experiment, phase: string): Point[] {
  return experiment.variants.flatMap((variant, series) => {
    const { label, rows } = variant;
    const words = wordsOf(variant);
    return rows.flatMap((row) => {
      const figures = row.phases.find((candidate) => candidate.name === phase);
      return figures === undefined ? [] : [{ cpus: row.cpus, series, label, row, figures, words }];
    });
  });
}

/** A line and points a variant; the part beyond the host is dashed and hollow. */
function seriesMarks(
  points: readonly Point[],
  pick: (point: Point) => Pick<Spread, "median" | "min" | "max">,
): Marks {
  return [...Map.groupBy(points, (point) => point.series)].flatMap(([series, own]) => {
    const stroke = seriesColour(series);
    const within = own.filter((point) => !point.row.oversubscribed);
    const beyond = own.filter((point) => point.row.oversubscribed);
    const bridge = within.length > 0 && beyond.length > 0 ? [within[within.length - 1], ...beyond] : beyond;
    const at = { x: "cpus", y: (point: Point) => pick(point).median } as const;
    return [
      Plot.ruleX(own, {
        x: "cpus",
        y1: (point: Point) => pick(point).min,
        y2: (point: Point) => pick(point).max,
        stroke,
        strokeOpacity: 0.5,
      }),
      Plot.line(within, { ...at, stroke, strokeWidth: 2 }),
      Plot.line(bridge, { ...at, stroke, strokeWidth: 1.5, strokeDasharray: "5 4" }),
      Plot.dot(own, {
        ...at,
        r: own.length > LANDMARKS ? 2 : 4,
        stroke,
        strokeWidth: 1.5,
        fill: (point: Point) => (point.row.oversubscribed ? "var(--page)" : stroke),
        title: (point: Point) =>
          `${nameOf(point)}${point.cpus} CPUs: ${count(point.figures.opsPerSecond.median)} ${point.words.rate}, ` +
          `${duration(point.figures.nsPerOp.median)} per operation` +
          `${point.row.oversubscribed ? " (oversubscribed: not scaling)" : ""}`,
      }),
    ];
  });
}

const nameOf = (point: Point): string => (point.label === "" ? "" : `${point.label}, `);

/** Operations a second of the row that `point`'s speed-up is taken against. */
const baseOf = ({ series, figures }: Point, points: readonly Point[]): number | undefined =>
  points.find((p) => p.series === series && p.cpus === figures.baseCpus)?.figures.opsPerSecond.median;

function idealOf(
  point: Point,
  points: readonly Point[],
  scale: number,
): { cpus: number; series: number; value: number }[] {
  const { figures, cpus, series } = point;
  const base = baseOf(point, points);
  if (figures.ideal === null || base === undefined) return [];
  return [{ cpus, series, value: (base * figures.ideal) / scale }];
}

/** A point of an ideal line, which is straight, or where that line leaves the plot. */
function cutAt<T extends { readonly cpus: number; readonly value: number }>(top: number, ideal: T): T {
  const part = Math.min(1, top / ideal.value);
  return { ...ideal, cpus: ideal.cpus * part, value: ideal.value * part };
}

interface ChartParts {
  readonly y: Plot.ScaleOptions;
  readonly marks: Marks;
}

function chart(experiment: Experiment, points: readonly Point[], { y, marks }: ChartParts): string {
  const cpus = [...new Set(points.map((point) => point.cpus))].toSorted((a, b) => a - b);
  const [first, last] = [cpus[0], cpus[cpus.length - 1]];
  const isWide = last / first >= 8;
  const pad = isWide ? 0 : Math.max(0.4, (last - first) * 0.05);
  return draw({
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 58,
    marginTop: 26,
    marginRight: 16,
    marginBottom: 40,
    inset: isWide ? 12 : 0,
    x: {
      label: "simulated CPUs",
      ticks: landmarks(cpus),
      tickFormat: (n: number) => String(n),
      ...(isWide ? { type: "log", base: 2, domain: [first, last] } : { domain: [first - pad, last + pad] }),
    },
    y: { grid: true, zero: true, nice: true, ticks: 6, ...y },
    marks: [...hostMarks(experiment, cpus, points), ...marks, Plot.ruleY([0], { stroke: "currentColor" })],
  });
}

/** Lines where the host's cores end, and where the real machine of a profile does, and what lies beyond. */
function hostMarks(experiment: Experiment, cpus: readonly number[], points: readonly Point[]): Marks {
  const [first, last] = [cpus[0], cpus[cpus.length - 1]];
  return edgesOf(experiment, points)
    .filter(({ edge }) => edge >= first && edge <= last)
    .flatMap(({ edge, text }, i) => [
      Plot.ruleX([edge], { stroke: "currentColor", strokeOpacity: 0.5, strokeDasharray: "2 3" }),
      Plot.text([text], {
        frameAnchor: "top-right",
        dy: -16 + 13 * i,
        fill: "currentColor",
        fillOpacity: 0.75,
      }),
    ]);
}

function edgesOf(experiment: Experiment, points: readonly Point[]): { edge: number; text: string }[] {
  const edges: { edge: number; text: string }[] = [];
  const byHost = points.findLast(({ series }) => experiment.variants[series].mode === "parallel");
  if (byHost !== undefined) {
    const { hostCores, tokens } = byHost.row;
    const edge = isMixed(experiment) ? hostCores : Math.min(hostCores, tokens);
    const what = edge === hostCores ? plural(edge, "host core") : plural(edge, "run token");
    const isCrowded = points.some((point) => point.row.oversubscribed);
    edges.push({ edge, text: isCrowded ? `beyond ${what}: oversubscribed, not scaling` : what });
  }
  const beyond = points.find(({ series, row }) => isExtrapolated(experiment.variants[series], row));
  const real = beyond && experiment.variants[beyond.series].simulation;
  if (real) edges.push({ edge: real.maxCpus, text: `${real.profile}: ${plural(real.maxCpus, "CPU")}` });
  return edges;
}

/** The CPU counts that are named: all of them, or of many the powers of two and both ends. */
const landmarks = (cpus: readonly number[]): number[] =>
  cpus.filter(
    (n, i) => cpus.length <= LANDMARKS || Number.isInteger(Math.log2(n)) || i === 0 || i === cpus.length - 1,
  );

/** "5.00 M" as an axis says it: "5 M". */
const tick =
  (format: (value: number) => string) =>
  (value: number): string =>
    format(value).replace(/\.(\d*?)0+(?!\d)/, (_, kept: string) => (kept === "" ? "" : `.${kept}`));

function draw(options: Plot.PlotOptions): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const plot = Plot.plot({
    style: { fontSize: "12px" },
    ...options,
    document: document as NonNullable<Plot.PlotOptions["document"]>,
    className: "plot",
  });
  return plot.outerHTML;
}
