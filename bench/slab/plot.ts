/** The curves of all workloads in one SVG: a panel a workload, a line an allocator, both axes logarithmic. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { ALLOCATORS, type Point } from "./curves.ts";

const PANEL = { width: 340, height: 240 };
const COLUMNS = 2;
const COLOURS: Readonly<Record<string, string>> = { slub: "#2563eb", slab: "#b45309", slob: "#be123c" };

export function plotOf(points: readonly Point[]): string {
  const names = [...new Set(points.map(({ workload }) => workload))];
  const panels = names.map((name, i) => {
    const [x, y] = [(i % COLUMNS) * PANEL.width, Math.floor(i / COLUMNS) * PANEL.height];
    const own = points.filter(({ workload }) => workload === name);
    return `<g transform="translate(${x} ${y})"><text x="52" y="14" font-size="11" font-weight="bold">${name}, million operations a simulated second</text>${panel(own)}</g>`;
  });
  const [width, height] = [COLUMNS * PANEL.width, Math.ceil(names.length / COLUMNS) * PANEL.height + 24];
  const legend = ALLOCATORS.map(
    (name, i) =>
      `<text x="${52 + 70 * i}" y="${height - 8}" font-size="11" fill="${COLOURS[name]}">${name.toUpperCase()}</text>`,
  ).join("");
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" fill="currentColor"><rect width="100%" height="100%" fill="white"/>` +
    `${panels.join("")}${legend}<text x="270" y="${height - 8}" font-size="11">x: CPUs; both axes logarithmic</text></svg>\n`
  );
}

function panel(points: readonly Point[]): string {
  const { document } = parseHTML("<html><body></body></html>");
  const counts = [...new Set(points.map(({ cpus }) => cpus))];
  const marks = points.map((point) => ({ ...point, millions: point.perSecond / 1e6 }));
  const stroke = ({ allocator }: Point): string => COLOURS[allocator];
  const svg = Plot.plot({
    ...PANEL,
    marginLeft: 52,
    marginTop: 22,
    document,
    x: { label: null, type: "log", base: 2, ticks: counts, tickFormat: String },
    y: { label: null, type: "log", grid: true },
    marks: [
      Plot.line(marks, { x: "cpus", y: "millions", z: "allocator", stroke, strokeWidth: 1.5 }),
      Plot.dot(marks, { x: "cpus", y: "millions", r: 2, fill: stroke }),
    ],
  });
  return svg.outerHTML;
}
