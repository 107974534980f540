/**
 * /proc/lock_stat: how often each class of lock was taken, waited for, and for how long, since the last run began.
 *
 * Linux: kernel/locking/lockdep_proc.c seq_header, seq_stats.  Differs: a column that is not measured holds "-".  Bounces
 * between CPUs never are, since a lock does not keep its last CPU; hold times need lock statistics.  Readers and writers
 * share a line, and there are no contention points.
 */

import { shape } from "../memory/shape.ts";
import { type LockTotals, sumLockStats } from "../sync/lock-stat.ts";
import type { ProcSource } from "./source.ts";

const COLUMNS = [
  "con-bounces",
  "contentions",
  "waittime-min",
  "waittime-max",
  "waittime-total",
  "waittime-avg",
  "acq-bounces",
  "acquisitions",
  "holdtime-min",
  "holdtime-max",
  "holdtime-total",
  "holdtime-avg",
] as const;
const NAME_WIDTH = 40;
const WIDTH = 14;
const RULE = "-".repeat(NAME_WIDTH + 1 + COLUMNS.length * (WIDTH + 1));
const NOT_MEASURED = "-";

export function lockStat({ cpu, image, topology }: ProcSource): string {
  const totals = sumLockStats(cpu.memory, image.spin, topology.possibleCpus);
  const head = ["class name".padStart(NAME_WIDTH), ...COLUMNS.map((name) => name.padStart(WIDTH))].join(" ");
  const lines = totals
    .toSorted((a, b) => b.contended - a.contended)
    .map((of) => classLine(of, shape.lockstat || shape.trace));
  return ["lock_stat version 0.4", RULE, head, RULE, "", ...lines].map((line) => `${line}\n`).join("");
}

function classLine(of: LockTotals, holdsAreMeasured: boolean): string {
  const waits = times(of.waitMinNs, of.waitMaxNs, of.waitNs, of.contended);
  const holds = holdsAreMeasured
    ? times(of.heldMinNs, of.heldMaxNs, of.heldNs, of.acquisitions)
    : new Array<string>(4).fill(NOT_MEASURED);
  const counts = [String(of.contended), String(of.acquisitions)];
  const cells = [NOT_MEASURED, counts[0], ...waits, NOT_MEASURED, counts[1], ...holds];
  return `${of.name.padStart(NAME_WIDTH)}:${cells.map((cell) => cell.padStart(WIDTH)).join(" ")}`;
}

function times(min: number, max: number, total: number, count: number): string[] {
  return [min, max, total, count === 0 ? 0 : Math.floor(total / count)].map(microseconds);
}

/** Nanoseconds as microseconds with two digits.  Linux: snprint_time. */
function microseconds(ns: number): string {
  const rounded = Math.floor(ns) + 5;
  const digits = Math.floor((rounded % 1000) / 10);
  return `${Math.floor(rounded / 1000)}.${String(digits).padStart(2, "0")}`;
}
