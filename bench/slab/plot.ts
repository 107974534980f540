/** The plot of docs/SLAB-CURVES.md. */

import { plotOf as curvesOf } from "../curves/plot.ts";
import { ALLOCATORS, type Point } from "./curves.ts";

const COLOURS: Readonly<Record<string, string>> = { slub: "#2563eb", slab: "#b45309", slob: "#be123c" };

export function plotOf(points: readonly Point[]): string {
  return curvesOf(
    points.map((point) => ({ ...point, line: point.allocator.toUpperCase() })),
    {
      panels: [...new Set(points.map(({ workload }) => workload))].map((workload) => ({
        workload,
        title: `${workload}, million operations a simulated second`,
      })),
      lines: ALLOCATORS.map((name) => ({ name: name.toUpperCase(), colour: COLOURS[name] })),
      panel: { width: 340, height: 240 },
      footer: 24,
      legend: ({ label, colour, index, height }) =>
        `<text x="${52 + 70 * index}" y="${height - 8}" font-size="11" fill="${colour}">${label}</text>`,
    },
  );
}
