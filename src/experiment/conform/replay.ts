/**
 * Replays a trace and compares, record by record: result, values, mappings, faults.  The first difference ends it.
 * After each record the address spaces' invariants hold, too.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { checkSpaces } from "../../process/check-spaces.ts";
import { Task } from "../../sync/task.ts";
import { Arena } from "./arena.ts";
import { perform } from "./operations.ts";
import type { Trace, TraceFormat, TraceMap, TraceRecord } from "./trace.ts";

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

/** How a list of records ended: `stop` is null when all were equal. */
interface Progress {
  readonly equal: number;
  readonly stop: { difference: Difference } | { skipped: string } | null;
}

/** How to compare, and what a process's mappings were after its last record. */
interface Chain {
  readonly format: TraceFormat;
  maps: readonly TraceMap[];
}

export function replay(kernel: Kernel, trace: Trace): ReplayResult {
  const arena = Arena.make(kernel, trace.header);
  const { equal, stop } = replayList(arena, trace.records, { format: trace.format, maps: [] });
  arena.end();
  return { equal, difference: null, skipped: null, ...stop };
}

function replayList(arena: Arena, records: readonly TraceRecord[], chain: Chain): Progress {
  const { kernel } = arena;
  let equal = 0;
  for (const record of records) {
    if (record.isSetup) {
      perform(arena, record);
      continue;
    }
    const stop = record.op === "fork" ? replayFork(arena, record, chain) : replayOne(arena, record, chain);
    if (stop !== null) return { equal, stop };
    checkSpaces(kernel);
    equal++;
    kernel.cpu.endOperation();
  }
  return { equal, stop: null };
}

function replayOne(arena: Arena, record: TraceRecord, chain: Chain): Progress["stop"] {
  const { kernel } = arena;
  chain.maps = record.maps ?? chain.maps;
  // The first record of a child: what it begins with.
  if (record.op === "start") return stopAt(compareMaps(record, chain, arena.maps()));
  const faultsBefore = faultsOf(kernel);
  kernel.cpu.tlb.flushAll();
  const done = perform(arena, record);
  if (done === null) return { skipped: record.label ?? record.op };
  const faults = faultsOf(kernel) - faultsBefore;
  return stopAt(
    compare(record, "ret", record.ret, chain.format.answer(done.ret, record.op)) ??
      compareValue(record, chain.format, done.val ?? null) ??
      compareMaps(record, chain, arena.maps()) ??
      compare(record, "minflt", record.minflt ?? 0, faults),
  );
}

/** The parent goes on, then the child runs and ends, then the parent is looked at. */
function replayFork(arena: Arena, record: TraceRecord, chain: Chain): Progress["stop"] {
  const child = arena.fork();
  const inParent = nested(record, "parent", replayList(arena, record.parent ?? [], chain));
  child.enter();
  const inChild =
    inParent ?? nested(record, "child", replayList(child, record.child ?? [], { ...chain, maps: [] }));
  child.end();
  arena.enter();
  if (inChild !== null) return inChild;
  chain.maps = record.maps ?? chain.maps;
  return stopAt(compareMaps(record, chain, arena.maps()));
}

/** A difference within a fork has the fork's number, and its own before the field. */
function nested({ i, op }: TraceRecord, who: string, { stop }: Progress): Progress["stop"] {
  if (stop === null || "skipped" in stop) return stop;
  const { difference } = stop;
  const field = `${who} ${difference.i} ${difference.op}: ${difference.field}`;
  return { difference: { ...difference, i, op, field } };
}

const stopAt = (difference: Difference | null): Progress["stop"] =>
  difference === null ? null : { difference };

function compareValue(record: TraceRecord, { hasValues }: TraceFormat, got: unknown): Difference | null {
  if (record.val === undefined && !hasValues) return null;
  return compare(record, "val", record.val ?? null, got);
}

function compareMaps(
  record: TraceRecord,
  { format, maps: expected }: Chain,
  got: readonly TraceMap[],
): Difference | null {
  const range = ({ start, end }: TraceMap): string => `${start}-${end}`;
  const ranges = (maps: readonly TraceMap[]): string => maps.map(range).join(" ");
  const different = compare(record, "maps", ranges(expected), ranges(got));
  if (different !== null) return different;
  for (const field of format.fields) {
    for (const [i, map] of expected.entries()) {
      const name = `maps ${range(map)} ${field}`;
      const difference = compare(record, name, map[field], got[i][field]);
      if (difference !== null) return difference;
    }
  }
  return null;
}

function compare(record: TraceRecord, field: string, expected: unknown, got: unknown): Difference | null {
  const [a, b] = [JSON.stringify(expected), JSON.stringify(got)];
  return a === b ? null : { i: record.i, op: record.label ?? record.op, field, expected: a, got: b };
}

function faultsOf({ cpu }: Kernel): number {
  return cpu.memory.read(cpu.current + Task.minFlt);
}
