/**
 * The steps of all CPUs in a traced execution as rows, and which of them matter: those on words that CPUs share, and
 * what the CPUs did last.
 */

import { VECTOR_NAMES } from "../hardware/vectors.ts";
import { TRACE_EVENT_NAMES, TraceEvent } from "../memory/trace.ts";
import type { Pointer } from "../memory/units.ts";
import { isWrite, type LoggedSteps, type StepRecord } from "../schedule/explore/step-log.ts";
import { framesOf } from "./call-frames.ts";
import type { CampaignResult } from "./explore-run.ts";
import type { SchedulerEvent } from "./task.ts";

const E = TraceEvent;
const READS: readonly number[] = [E.READ, E.LOAD, E.READ_BYTE, E.LOAD_BYTE, E.WAIT];
const CALLERS_SHOWN = 3;
/** Each CPU's very last steps are shown, whatever they touch. */
const LAST_STEPS = 2;
/** Lock code is where a conflict shows, not what it is about. */
const LOCK_CODE = /(^|[\\/])src[\\/]sync[\\/]/;
/** Code that puts a bug into words, and the idle loop: what it does is no part of the race. */
const BESIDES = /^((.*\.)?(bad|report|describe)[A-Z].*|Cpu\.(enter|exit)Idle)$/;

export interface TableRow {
  readonly step: number;
  readonly cpu: number;
  /** What was done: access, place, values. */
  readonly text: string;
  /** File, line and functions of the kernel's code. */
  readonly where: string;
  /** Word that was accessed; 0 none. */
  readonly address: Pointer;
  readonly writes: boolean;
  readonly waits: boolean;
  /** The innermost function that is not lock code. */
  readonly functionName: string;
  readonly matters: boolean;
  /** How often it was done in a row; `step` is the first. */
  readonly times: number;
}

/** All rows of a traced replay, in step order. */
export function stepRows(traced: CampaignResult): TableRow[] {
  const shared = sharedWords(traced.traces.map((t) => t.log));
  const rows: TableRow[] = [];
  for (const { log, events } of traced.traces) {
    const records = log?.records ?? [];
    records.forEach((record, i) => {
      const isLast = i >= records.length - LAST_STEPS;
      rows.push(rowOfStep(record, isLast || shared.has(record.address) || record.address === 0));
    });
    rows.push(...events.map(rowOfEvent));
  }
  return rows.sort((a, b) => a.step - b.step);
}

/** Rows that say the same of one CPU, one after the other, as one. */
export function joinEqual(rows: readonly TableRow[]): TableRow[] {
  const joined: TableRow[] = [];
  for (const row of rows) {
    const last = joined.at(-1);
    const isSame = last?.cpu === row.cpu && last.text === row.text && last.where === row.where;
    if (isSame) joined[joined.length - 1] = { ...last, times: last.times + row.times };
    else joined.push(row);
  }
  return joined;
}

/** The functions of the last two accesses of different CPUs to one word, one of them a write. */
export function conflictOf(rows: readonly TableRow[]): string[] {
  for (let i = rows.length - 1; i > 0; i--) {
    const late = rows[i];
    if (late.address === 0 || !late.matters) continue;
    for (let j = i - 1; j >= 0; j--) {
      const early = rows[j];
      if (early.address !== late.address || early.cpu === late.cpu) continue;
      if (!early.writes && !late.writes) continue;
      return [late.functionName, early.functionName].filter((name) => name !== "");
    }
  }
  return [];
}

/** The functions in which CPUs wait at the end. */
export function waitersOf(rows: readonly TableRow[]): string[] {
  const last = new Map<number, TableRow>();
  for (const row of rows) last.set(row.cpu, row);
  return [...last.values()].filter((row) => row.waits).map((row) => row.functionName);
}

function rowOfStep(record: StepRecord, matters: boolean): TableRow {
  const frames = framesOf(record.stack);
  const named = frames.filter((frame) => frame.name !== "");
  const outside = named.find((frame) => !LOCK_CODE.test(frame.place)) ?? named[0];
  const names = named.slice(0, CALLERS_SHOWN).map((frame) => frame.name);
  return {
    step: record.step,
    cpu: record.cpu,
    text: textOf(record),
    where: frames.length === 0 ? "" : `${frames[0].place} ${names.join(" < ")}`,
    address: record.address,
    writes: isWrite(record.kind),
    waits: record.kind === E.WAIT || record.kind === E.PARK,
    functionName: outside?.name ?? "",
    times: 1,
    matters: matters && !frames.some((frame) => BESIDES.test(frame.name)),
  };
}

function rowOfEvent({ step, cpu, code, a, b }: SchedulerEvent): TableRow {
  const texts: Readonly<Record<number, string>> = {
    [E.IRQ_ENTER]: `interrupt ${VECTOR_NAMES[a]?.[0] ?? a} {`,
    [E.IRQ_EXIT]: `} interrupt ${VECTOR_NAMES[a]?.[0] ?? a}`,
    [E.IPI_SEND]: `send ${VECTOR_NAMES[b]?.[0] ?? b} to cpu ${a}`,
    [E.MARK]: `mark ${a} ${b}`,
  };
  const text = texts[code] ?? TRACE_EVENT_NAMES[code] ?? String(code);
  const none = { where: "", address: 0, writes: false, waits: false, functionName: "" };
  return { step, cpu, text, ...none, matters: true, times: 1 };
}

function textOf({ kind, place, before, after, words }: StepRecord): string {
  const verb = TRACE_EVENT_NAMES[kind] ?? String(kind);
  if (kind === E.PARK) return verb;
  if (kind === E.WAKE) return `${verb} ${place}`;
  if (kind === E.FILL || kind === E.COPY) return `${verb} ${place}, ${words} words`;
  if (READS.includes(kind)) return `${verb} ${place} = ${valueText(before)}`;
  const refused = before === after && (kind === E.CAS || kind === E.CAS_BYTE);
  if (refused) return `${verb} ${place} = ${valueText(before)}: refused`;
  return `${verb} ${place} ${valueText(before)} -> ${valueText(after)}`;
}

const valueText = (value: number): string =>
  Number.isInteger(value) && Math.abs(value) >= 4096 ? `0x${(value >>> 0).toString(16)}` : String(value);

/** Words that two CPUs touched and one wrote. */
function sharedWords(logs: readonly (LoggedSteps | null)[]): Set<Pointer> {
  const touchedBy = new Map<Pointer, number>();
  const written = new Set<Pointer>();
  for (const log of logs) {
    for (const address of log?.touched ?? []) touchedBy.set(address, (touchedBy.get(address) ?? 0) + 1);
    for (const address of log?.written ?? []) written.add(address);
  }
  return new Set([...written].filter((address) => (touchedBy.get(address) ?? 0) > 1));
}
