/**
 * What a failed execution looked like: title, oracle's message, who waits for what, and the last steps of all CPUs in
 * one table, a column a CPU.  As data, and as text.
 */

import { formatSchedule, type Schedule } from "../schedule/explore/schedule-string.ts";
import { framesOf } from "./call-frames.ts";
import type { CampaignResult } from "./explore-run.ts";
import { formatScene, type Scene } from "./explore-scene.ts";
import { conflictOf, joinEqual, stepRows, type TableRow, waitersOf } from "./explore-table.ts";
import type { Fault } from "./program.ts";
import type { CampaignFailure } from "./task.ts";

const ROWS_SHOWN = 48;
const WIDEST_CELL = 58;
const KINDS: Readonly<Record<string, string>> = {
  bug: "bug",
  check: "check failed",
  deadlock: "deadlock",
  limit: "livelock",
  exception: "exception",
  nondeterminism: "nondeterminism",
};

export interface FailureReport {
  /** One line: what, and in which functions. */
  readonly title: string;
  readonly kind: Fault["kind"];
  /** CPU that noticed it. */
  readonly cpu: number;
  readonly message: string;
  /** Call stack of that CPU. */
  readonly stack: readonly string[];
  readonly execution: number;
  readonly steps: number;
  readonly switches: number;
  readonly scene: Scene;
  /** The last steps that matter, oldest first; empty when they could not be traced. */
  readonly rows: readonly TableRow[];
  /** Steps of words that only one CPU uses, and older ones, that are not among the rows. */
  readonly rowsLeftOut: number;
  /** What the CPUs wrote to the kernel log in this execution. */
  readonly kernelLog: readonly string[];
  /** Why there are no rows; "" when there are. */
  readonly untraced: string;
  /** What the campaign had found before it was made shorter; null when that was not tried. */
  readonly shrunk: { readonly fromSwitches: number; readonly trials: number } | null;
  readonly schedule: string;
  /** What to type to see it again. */
  readonly command: string;
}

/** Builds the report of `failure`; `traced` is its replay on a machine that traces, null for none. */
export function reportFailure(
  schedule: Schedule,
  failure: CampaignFailure,
  traced: CampaignResult | null,
): FailureReport {
  const text = formatSchedule(schedule);
  const untraced = whyUntraced(failure, traced);
  const all = traced === null || untraced !== "" ? [] : stepRows(traced);
  const shown = joinEqual(all.filter((row) => row.matters)).slice(-ROWS_SHOWN);
  const { fault } = failure;
  const stack = framesOf(fault.stack);
  const functions = fault.kind === "deadlock" ? waitersOf(all) : conflictOf(all);
  const where = functions.length > 0 ? functions : stack.flatMap(({ name }) => name || []).slice(0, 1);
  return {
    title: `${KINDS[fault.kind] ?? fault.kind}${where.length === 0 ? "" : ` in ${where.join(" / ")}`}`,
    kind: fault.kind,
    cpu: fault.cpu,
    message: fault.message,
    stack: stack.map(({ name, place }) => (name === "" ? place : `${name} (${place})`)),
    execution: failure.execution,
    steps: failure.step,
    switches: failure.tape.length / 2 - 1,
    scene: failure.scene,
    rows: shown,
    rowsLeftOut: failure.step - shown.reduce((sum, row) => sum + row.times, 0),
    kernelLog: untraced === "" ? (traced?.kernelLog ?? []) : [],
    untraced,
    shrunk: null,
    schedule: text,
    command: `npx smpsim replay ${text}`,
  };
}

/** The report as text. */
export function formatFailure(report: FailureReport): string {
  const { title, execution, steps, switches, cpu, message } = report;
  const { shrunk } = report;
  const how =
    shrunk === null ? "" : `, shrunk from ${shrunk.fromSwitches} in ${count(shrunk.trials, "trial")}`;
  const lines = [
    `FAILURE: ${title}`,
    `  ${message}`,
    `  noticed by cpu ${cpu} in execution ${execution}, after ${count(steps, "step")} and ${count(switches, "switch")}${how}`,
    ...report.stack.slice(0, 6).map((frame) => `    at ${frame}`),
    "",
    "At that moment:",
    ...formatScene(report.scene).map((line) => `  ${line}`),
    "",
  ];
  if (report.kernelLog.length > 0)
    lines.push(
      "Kernel log:",
      ...report.kernelLog.flatMap((text) => text.split("\n")).map((l) => `  ${l}`),
      "",
    );
  if (report.untraced === "") lines.push(...formatTable(report), "");
  else lines.push(`No table of steps: ${report.untraced}`, "");
  if (report.kind !== "nondeterminism")
    lines.push(`Schedule: ${report.schedule}`, `Replay:   ${report.command}`);
  return lines.join("\n");
}

const count = (n: number, what: string): string =>
  `${n} ${n === 1 ? what : what.endsWith("h") ? `${what}es` : `${what}s`}`;

function whyUntraced(failure: CampaignFailure, traced: CampaignResult | null): string {
  if (traced === null) {
    return failure.fault.kind === "nondeterminism" ? "the execution does not repeat" : "not asked for";
  }
  if (traced.fault !== null) return `the traced replay failed: ${traced.fault.message}`;
  if (traced.divergedAt >= 0) return `the traced replay diverged at step ${traced.divergedAt}`;
  if (traced.failure === null) return "the traced replay ended well";
  return "";
}

function formatTable({ rows, rowsLeftOut, scene }: FailureReport): string[] {
  const cpus = scene.cpus.length;
  const used = Array.from({ length: cpus }, (_, cpu) => cpu).filter((cpu) => rows.some((r) => r.cpu === cpu));
  const textOf = ({ text, times }: TableRow): string => cell(times === 1 ? text : `${text} (${times} times)`);
  const cell = (text: string): string =>
    text.length > WIDEST_CELL ? `${text.slice(0, WIDEST_CELL - 1)}…` : text;
  const widths = new Map(
    used.map((cpu) => {
      const own = rows.filter((r) => r.cpu === cpu).map((r) => textOf(r).length);
      return [cpu, Math.max(6, ...own)];
    }),
  );
  const line = (step: string, at: (cpu: number) => string, place: string): string =>
    [step.padStart(6), ...used.map((cpu) => at(cpu).padEnd(widths.get(cpu) ?? 0)), place]
      .join(" | ")
      .trimEnd();
  const rule = ["------", ...used.map((cpu) => "-".repeat(widths.get(cpu) ?? 0)), "-----"].join("-+-");
  const head = [line("step", (cpu) => `cpu ${cpu}`, "where"), rule];
  const body = rows.map((row) =>
    line(String(row.step), (cpu) => (cpu === row.cpu ? textOf(row) : ""), row.where),
  );
  const omitted = rowsLeftOut === 0 ? "" : ` (${rowsLeftOut} other steps are left out)`;
  const note = `Last steps on words that CPUs share${omitted}:`;
  return [note, ...head, ...body];
}
