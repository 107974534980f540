/** Curves in one SVG: a panel a workload, a line a variant of the machine, both axes logarithmic. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

export interface CurvePoint {
  readonly workload: string;
  readonly line: string;
  readonly cpus: number;
  readonly perSecond: number;
}

export interface CurvePage {
  readonly panels: readonly { readonly workload: string; readonly title: string }[];
  readonly lines: readonly { readonly name: string; readonly colour: string }[];
  readonly panel: { readonly width: number; readonly height: number };
  /** Room below the panels. */
  readonly footer: number;
  /** The text of the line after `index` others; the note after all lines comes last. */
  readonly legend: (text: { label: string; colour: string; index: number; height: number }) => string;
}

const COLUMNS = 2;

export function plotOf(points: readonly CurvePoint[], page: CurvePage): string {
  const { lines, panel: size } = page;
  const panels = page.panels.map(({ workload, title }, i) => {
    const [x, y] = [(i % COLUMNS) * size.width, Math.floor(i / COLUMNS) * size.height];
    const own = points.filter((point) => point.workload === workload);
    return `<g transform="translate(${x} ${y})"><text x="52" y="14" font-size="11" font-weight="bold">${title}</text>${panelOf(own, page)}</g>`;
  });
  const width = COLUMNS * size.width;
  const height = Math.ceil(panels.length / COLUMNS) * size.height + page.footer;
  const note = { name: "x: CPUs; both axes logarithmic", colour: "currentColor" };
  const legend = [...lines, note].map(({ name, colour }, index) =>
    page.legend({ label: name, colour, index, height }),
  );
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" fill="currentColor"><rect width="100%" height="100%" fill="white"/>` +
    `${panels.join("")}${legend.join("")}</svg>\n`
  );
}

function panelOf(points: readonly CurvePoint[], { lines, panel }: CurvePage): string {
  const { document } = parseHTML("<html><body></body></html>");
  const counts = [...new Set(points.map(({ cpus }) => cpus))];
  const marks = points.map((point) => ({ ...point, millions: point.perSecond / 1e6 }));
  const stroke = ({ line }: CurvePoint): string => lines.find(({ name }) => name === line)?.colour ?? "black";
  const svg = Plot.plot({
    ...panel,
    marginLeft: 52,
    marginTop: 22,
    document,
    x: { label: null, type: "log", base: 2, ticks: counts, tickFormat: String },
    y: { label: null, type: "log", grid: true, tickFormat: (value: number) => String(value) },
    marks: [
      Plot.line(marks, { x: "cpus", y: "millions", z: "line", stroke, strokeWidth: 1.5 }),
      Plot.dot(marks, { x: "cpus", y: "millions", r: 2, fill: stroke }),
    ],
  });
  return svg.outerHTML;
}
