/** The curves of all workloads in one SVG: a panel a workload, a line a variant, both axes logarithmic. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { type Point, VARIANTS, WORKLOADS } from "./curves.ts";

const PANEL = { width: 400, height: 260 };
const COLUMNS = 2;

export function plotOf(points: readonly Point[]): string {
  const panels = WORKLOADS.map(({ name, title }, i) => {
    const [x, y] = [(i % COLUMNS) * PANEL.width, Math.floor(i / COLUMNS) * PANEL.height];
    const own = points.filter(({ workload }) => workload === name);
    return `<g transform="translate(${x} ${y})"><text x="52" y="14" font-size="11" font-weight="bold">${title}</text>${panel(own)}</g>`;
  });
  const [width, height] = [COLUMNS * PANEL.width, Math.ceil(WORKLOADS.length / COLUMNS) * PANEL.height + 8];
  const [left, top] = [PANEL.width + 60, PANEL.height + 60];
  const legend = VARIANTS.map(
    ({ name, colour }, i) =>
      `<text x="${left}" y="${top + 20 * i}" font-size="12" fill="${colour}">${name}</text>`,
  ).join("");
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" fill="currentColor"><rect width="100%" height="100%" fill="white"/>` +
    `${panels.join("")}${legend}<text x="${left}" y="${top + 20 * VARIANTS.length + 8}" font-size="11">x: CPUs; both axes logarithmic</text></svg>\n`
  );
}

function panel(points: readonly Point[]): string {
  const { document } = parseHTML("<html><body></body></html>");
  const counts = [...new Set(points.map(({ cpus }) => cpus))];
  const marks = points.map((point) => ({ ...point, millions: point.perSecond / 1e6 }));
  const stroke = ({ variant }: Point): string =>
    VARIANTS.find(({ name }) => name === variant)?.colour ?? "black";
  const svg = Plot.plot({
    ...PANEL,
    marginLeft: 52,
    marginTop: 22,
    document,
    x: { label: null, type: "log", base: 2, ticks: counts, tickFormat: String },
    y: { label: null, type: "log", grid: true, tickFormat: (value: number) => String(value) },
    marks: [
      Plot.line(marks, { x: "cpus", y: "millions", z: "variant", stroke, strokeWidth: 1.5 }),
      Plot.dot(marks, { x: "cpus", y: "millions", r: 2, fill: stroke }),
    ],
  });
  return svg.outerHTML;
}
