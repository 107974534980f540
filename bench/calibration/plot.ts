/** Published curves as dots, simulated ones as lines: one SVG for the documents. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Point } from "./report.ts";

const PANEL = { width: 320, height: 220 };
const COLUMNS = 2;

/** One panel a curve, cores across, nanoseconds up. */
export function plotOf(points: readonly Point[]): string {
  const names = [...new Set(points.map(({ curve }) => curve))];
  const rows = Math.ceil(names.length / COLUMNS);
  const panels = names.map((name, i) => {
    const [x, y] = [(i % COLUMNS) * PANEL.width, Math.floor(i / COLUMNS) * PANEL.height];
    const own = points.filter(({ curve }) => curve === name);
    return `<g transform="translate(${x} ${y})"><text x="46" y="14" font-size="11" font-weight="bold">${name}, ns</text>${panel(own)}</g>`;
  });
  const [width, height] = [COLUMNS * PANEL.width, rows * PANEL.height + 24];
  const legend = `<text x="46" y="${height - 8}" font-size="11">dots: published, measured on the machine; lines: simulated; x: cores</text>`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" fill="currentColor"><rect width="100%" height="100%" fill="white"/>` +
    `${panels.join("")}${legend}</svg>\n`
  );
}

function panel(points: readonly Point[]): string {
  const { document } = parseHTML("<html><body></body></html>");
  const largest = Math.max(...points.map(({ published, simulated }) => Math.max(published, simulated)));
  const svg = Plot.plot({
    ...PANEL,
    marginLeft: 46,
    marginTop: 22,
    document,
    x: { label: null },
    y: { label: null, domain: [0, 1.05 * largest], grid: true },
    marks: [
      Plot.line(points, { x: "cores", y: "simulated", stroke: "#2563eb", strokeWidth: 1.5 }),
      Plot.dot(points, { x: "cores", y: "published", r: 2, fill: "#b45309" }),
    ],
  });
  return svg.outerHTML;
}
