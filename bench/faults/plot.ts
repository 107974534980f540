/** The plot of docs/FAULT-CURVES.md. */

import { plotOf as curvesOf } from "../curves/plot.ts";
import { type Point, VARIANTS, WORKLOADS } from "./curves.ts";

const PANEL = { width: 400, height: 260 };

export function plotOf(points: readonly Point[]): string {
  return curvesOf(
    points.map((point) => ({ ...point, line: point.variant })),
    {
      panels: WORKLOADS.map(({ name, title }) => ({ workload: name, title })),
      lines: VARIANTS,
      panel: PANEL,
      footer: 8,
      legend: ({ label, colour, index }) =>
        `<text x="${PANEL.width + 60}" y="${PANEL.height + 60 + 20 * index}" font-size="12" fill="${colour}">${label}</text>`,
    },
  );
}
