/** docs/CALIBRATION.md: what was fitted, and how close the curves are. */

import type { Profile } from "../../src/schedule/virtual/profile.ts";
import { PARAMETERS, valuesOf } from "./parameters.ts";
import { type Point, percent, sizeEffect, summary } from "./report.ts";

export interface Findings {
  readonly command: string;
  readonly profile: Profile;
  readonly pages: number;
  readonly points: readonly Point[];
  /** The same experiment at another size, at fewer numbers of cores. */
  readonly otherPages: number;
  readonly otherPoints: readonly Point[];
  /** File name of the plots, beside the document. */
  readonly plots: string;
}

export function documentOf(findings: Findings): string {
  const { command, profile, pages, points, otherPages, otherPoints, plots } = findings;
  return `# Calibration

Written by \`${command}\`; do not edit. How to read it: [SIMULATED-TIME.md](SIMULATED-TIME.md#how-close-it-is).

Profile \`${profile.name}\`, page lists by the rules of Linux 6.0, ${pages} pages a core (orders above 0: four times as many).

**${summary(points)}.** ${sentence(sizeEffect(points, otherPoints, `${pages} to ${otherPages} pages a core`))}

![published and simulated curves](${plots})

## Errors

Nanoseconds, published → simulated. \`repeat\` is a pair, an allocation and its free; the others are one operation.

${errorRows(points)}

## Sizes

The same with ${otherPages} pages a core.

${errorRows(otherPoints)}

## Parameters

Cycles at ${profile.clockGHz} GHz, one set for all of the above.

| parameter | fitted | allowed | what it is |
|---|---|---|---|
${parameterRows(profile)}
`;
}

function errorRows(points: readonly Point[]): string {
  const curves = [...new Set(points.map(({ curve }) => curve))];
  const counts = [...new Set(points.map(({ cores }) => cores))];
  const rows = counts.map((count) => {
    const cells = curves.map((curve) => {
      const point = points.find((candidate) => candidate.cores === count && candidate.curve === curve);
      if (point === undefined) return "";
      return `${Math.round(point.published)} → ${Math.round(point.simulated)} (${percent(point.error)})`;
    });
    return `| ${[count, ...cells].join(" | ")} |`;
  });
  return [`| cores | ${curves.join(" | ")} |`, `|---${"|---".repeat(curves.length)}|`, ...rows].join("\n");
}

function parameterRows(profile: Profile): string {
  return PARAMETERS.map(({ paths, least, most, meaning }, i) => {
    return `| \`${paths[0]}\` | ${valuesOf(profile)[i]} | ${least} to ${most} | ${meaning} |`;
  }).join("\n");
}

const sentence = (text: string): string => `${text[0].toUpperCase()}${text.slice(1)}.`;
