/**
 * Replays a trace and compares, record by record: result, values, mappings, faults.  The first difference ends it.
 * After each record the address spaces' invariants hold, too.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { checkSpaces } from "../../process/check-spaces.ts";
import { Task } from "../../sync/task.ts";
import { Arena } from "./arena.ts";
import { perform } from "./operations.ts";
import type { Trace, TraceMap, TraceRecord } from "./trace.ts";

/** The first difference, or why the replay could not go on. */
export interface Difference {
  readonly i: number;
  readonly op: string;
  readonly field: string;
  readonly expected: string;
  readonly got: string;
}

export interface ReplayResult {
  /** Records that were equal. */
  readonly equal: number;
  readonly difference: Difference | null;
  /** The operation that is not known here; the rest of the trace means nothing. */
  readonly skipped: string | null;
}

/** Fields of a mapping by importance: ranges, rights and kind first. */
const FIELDS = [
  "start",
  "end",
  "perm",
  "offset",
  "kind",
  "rss",
  "anon",
  "thp",
  "locked",
  "swap",
  "flags",
  "pss",
];
const ORDER = [0, 1, 2, 3, 4, 10, 5, 6, 7, 8, 9, 11];

export function replay(kernel: Kernel, trace: Trace): ReplayResult {
  const arena = new Arena(kernel, trace.header);
  let maps: readonly TraceMap[] = [];
  let equal = 0;
  for (const record of trace.records) {
    const faultsBefore = faultsOf(kernel);
    kernel.cpu.tlb.flushAll();
    const done = perform(arena, record);
    if (done === null) {
      arena.end();
      return { equal, difference: null, skipped: record.op };
    }
    const faults = faultsOf(kernel) - faultsBefore;
    maps = record.maps ?? maps;
    const difference =
      compare(record, "ret", record.ret, done.ret) ??
      compare(record, "val", record.val ?? null, done.val ?? null) ??
      compareMaps(record, maps, arena.maps()) ??
      compare(record, "minflt", record.minflt ?? 0, faults);
    if (difference !== null) {
      arena.end();
      return { equal, difference, skipped: null };
    }
    checkSpaces(kernel);
    equal++;
    kernel.cpu.endOperation();
  }
  arena.end();
  return { equal, difference: null, skipped: null };
}

function compareMaps(
  record: TraceRecord,
  expected: readonly TraceMap[],
  got: readonly TraceMap[],
): Difference | null {
  const ranges = (maps: readonly TraceMap[]): string =>
    maps.map(([start, end]) => `${start}-${end}`).join(" ");
  const different = compare(record, "maps", ranges(expected), ranges(got));
  if (different !== null) return different;
  for (const field of ORDER) {
    for (const [i, map] of expected.entries()) {
      const name = `maps ${map[0]}-${map[1]} ${FIELDS[field]}`;
      const difference = compare(record, name, map[field], got[i][field]);
      if (difference !== null) return difference;
    }
  }
  return null;
}

function compare(record: TraceRecord, field: string, expected: unknown, got: unknown): Difference | null {
  const [a, b] = [JSON.stringify(expected), JSON.stringify(got)];
  return a === b ? null : { i: record.i, op: record.op, field, expected: a, got: b };
}

function faultsOf({ cpu }: Kernel): number {
  return cpu.memory.read(cpu.current + Task.minFlt);
}
