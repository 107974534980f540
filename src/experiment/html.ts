/** A report as one self-contained page: no script, no request to anywhere, all text escaped. */

import type { BaselineComparison } from "./baseline.ts";
import { cacheLineNotes, cacheLineTables } from "./cache-line-tables.ts";
import { conditionsOf, isMixed } from "./clock-words.ts";
import { bytes, count, percent, plural, ratio } from "./format.ts";
import {
  costChart,
  fairnessChart,
  lockChart,
  mostWaited,
  seriesColour,
  throughputChart,
} from "./html-charts.ts";
import { escapeHtml } from "./html-escape.ts";
import { STYLE } from "./html-style.ts";
import { timelineOf } from "./html-timeline.ts";
import type { Experiment, Report } from "./report-model.ts";
import {
  lockTable,
  metricTable,
  phaseNames,
  scalingTables,
  type Table,
  tableNotes,
} from "./report-tables.ts";
import type { ChromeTrace } from "./trace-export.ts";

/** What a page may show beside the report itself. */
export interface PageExtras {
  /** Verdicts against a baseline. */
  readonly comparison?: BaselineComparison | null;
  /** A traced run, drawn as a timeline. */
  readonly trace?: ChromeTrace | null;
}

export function htmlReport(report: Report, extras: PageExtras = {}): string {
  const { comparison = null, trace = null } = extras;
  const { host, versions } = report;
  const facts = [
    `${plural(host.cores, "host core")} (${host.model}, ${bytes(host.memoryBytes)}, ${host.platform} ${host.arch})`,
    `smpsim ${versions.smpsim}, Node ${versions.node}`,
    report.createdAt,
  ];
  return [
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escapeHtml(report.title)}</title>\n<style>${STYLE}</style>\n</head>\n<body>`,
    `<h1>${escapeHtml(report.title)}</h1>`,
    `<p class="faint">${facts.map(escapeHtml).join(" · ")}</p>`,
    `<p><code>${escapeHtml(report.command)}</code></p>`,
    comparison === null ? "" : baselineSection(comparison),
    ...report.experiments.map(experimentSection),
    trace === null ? "" : timelineSection(trace),
    "</body>\n</html>\n",
  ].join("\n");
}

function experimentSection(experiment: Experiment): string {
  const phases = phaseNames(experiment);
  return [
    `<section>\n<h2>${escapeHtml(experiment.title)}</h2>`,
    `<p class="faint">${escapeHtml(conditions(experiment))}</p>`,
    experiment.interrupted
      ? '<p class="fault">Stopped before its end: rows are missing or rest on fewer runs.</p>'
      : "",
    ...faults(experiment),
    variantLegend(experiment),
    ...phases.map((phase) => phaseCharts(experiment, phase, phases.length > 1)),
    lockFigure(experiment),
    ...[...scalingTables(experiment), metricTable(experiment), lockTable(experiment)].map((table) =>
      table === null ? "" : tableSection(table),
    ),
    ...cacheLineTables(experiment).map(tableSection),
    ...cacheLineNotes(experiment).map((note) => `<p class="notes">${escapeHtml(note)}</p>`),
    ...tableNotes(experiment).map((note) => `<p class="notes">${escapeHtml(note)}</p>`),
    configuration(experiment),
    "</section>",
  ].join("\n");
}

const conditions = (experiment: Experiment): string =>
  [`workload ${experiment.workload}`, ...conditionsOf(experiment)].join(" · ");

function faults(experiment: Experiment): string[] {
  return experiment.variants.flatMap(({ label, rows }) =>
    rows.flatMap(({ cpus, fault }) => {
      if (fault === null) return [];
      const where = `${label === "" ? "" : `${label}, `}${plural(cpus, "CPU")}`;
      const text = [fault.message, fault.report, fault.stack].filter((part) => part !== "").join("\n\n");
      return [`<div class="fault">Fault with ${escapeHtml(where)}:<pre>${escapeHtml(text)}</pre></div>`];
    }),
  );
}

function variantLegend({ variants }: Experiment): string {
  if (variants.length < 2) return "";
  return legend(variants.map(({ label }) => label));
}

function legend(labels: readonly string[]): string {
  const items = labels.map(
    (label, i) => `<li><i style="background:${seriesColour(i)}"></i>${escapeHtml(label)}</li>`,
  );
  return `<ul class="legend">${items.join("")}</ul>`;
}

function phaseCharts(experiment: Experiment, phase: string, isNamed: boolean): string {
  const isSimulated = experiment.mode === "virtual" && !isMixed(experiment);
  return [
    isNamed ? `<h3>${escapeHtml(phase)}</h3>` : "",
    '<div class="charts">',
    figure(`${throughputCaption(experiment)} (dotted: ideal)`, throughputChart(experiment, phase)),
    figure(
      `Cost: ${isSimulated ? "simulated " : ""}time of a CPU per operation`,
      costChart(experiment, phase),
    ),
    figure("Fairness: each CPU's rate over their mean", fairnessChart(experiment, phase)),
    "</div>",
  ].join("\n");
}

function throughputCaption(experiment: Experiment): string {
  if (isMixed(experiment)) return "Speed-up over the fewest CPUs, each by its own clock";
  return experiment.mode === "virtual" ? "Throughput: operations a simulated second" : "Throughput: ops/s";
}

function lockFigure(experiment: Experiment): string {
  const svg = lockChart(experiment);
  if (svg === "") return "";
  const names = mostWaited(experiment.variants.flatMap((variant) => variant.rows));
  return `<div class="charts">${figure("Waiting for locks, by number of CPUs", legend(names) + svg)}</div>`;
}

const figure = (caption: string, content: string): string =>
  `<figure><figcaption>${escapeHtml(caption)}</figcaption>${content}</figure>`;

function tableSection(table: Table): string {
  const head = table.columns.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join("");
  const body = table.rows.map(
    ({ cells, dimmed }) =>
      `<tr${dimmed ? ' class="dimmed"' : ""}>${cells.map((c) => `<td>${escapeHtml(c)}</td>`).join("")}</tr>`,
  );
  return [
    `<h3>${escapeHtml(table.title)}</h3>`,
    `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body.join("\n")}</tbody></table></div>`,
  ].join("\n");
}

function configuration(experiment: Experiment): string {
  const lines = Object.entries({ ...experiment.machine, ...experiment.options }).map(
    ([key, value]) =>
      `<tr><td>${escapeHtml(key)}</td><td><code>${escapeHtml(JSON.stringify(value))}</code></td></tr>`,
  );
  return `<details><summary>Configuration</summary><table class="text">${lines.join("")}</table></details>`;
}

function timelineSection(trace: ChromeTrace): string {
  const timeline = timelineOf(trace);
  if (timeline === null) return "";
  const items = timeline.legend.map(
    ({ colour, label }) => `<li><i style="background:${colour}"></i>${escapeHtml(label)}</li>`,
  );
  return [
    `<section><h2>Timeline: ${escapeHtml(trace.otherData.title ?? "a traced run")}</h2>`,
    `<p class="faint">${escapeHtml(timeline.caption)}; arrows: interrupts from sender to handler.</p>`,
    `<ul class="legend">${items.join("")}</ul>`,
    `<div class="scroll">${timeline.svg}</div></section>`,
  ].join("\n");
}

function baselineSection(comparison: BaselineComparison): string {
  const rows = comparison.rows.map((row) => {
    const cells = [row.workload, row.variant, row.phase, String(row.cpus) + (row.oversubscribed ? "*" : "")];
    const figures = [
      count(row.oldOpsPerSecond),
      count(row.newOpsPerSecond),
      ratio(row.ratio),
      row.low === row.high ? "exact" : `${ratio(row.low)} to ${ratio(row.high)}`,
    ];
    const verdict = `<td class="${row.verdict}">${row.verdict}</td>`;
    return `<tr>${[...cells, ...figures].map((c) => `<td>${escapeHtml(c)}</td>`).join("")}${verdict}</tr>`;
  });
  const heads = [
    "workload",
    "variant",
    "phase",
    "CPUs",
    "before",
    "after",
    "after / before",
    "interval",
    "verdict",
  ];
  return [
    "<section><h2>Against the baseline</h2>",
    `<div class="scroll"><table><thead><tr>${heads.map((h) => `<th scope="col">${h}</th>`).join("")}</tr></thead>`,
    `<tbody>${rows.join("\n")}</tbody></table></div>`,
    `<p class="notes">Throughput; intervals of ${percent(comparison.confidence)} by Hodges and Lehmann; ` +
      `differences below ${percent(comparison.threshold)} do not count.</p>`,
    ...comparison.warnings.map((warning) => `<p class="notes">${escapeHtml(warning)}</p>`),
    "</section>",
  ].join("\n");
}
