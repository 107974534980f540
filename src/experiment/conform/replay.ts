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

/** How a list of records ended: `stop` is null when all were equal. */
interface Progress {
  readonly equal: number;
  readonly stop: { difference: Difference } | { skipped: string } | null;
}

/** What a process's mappings were after its last record. */
interface Chain {
  maps: readonly TraceMap[];
}

export function replay(kernel: Kernel, trace: Trace): ReplayResult {
  const arena = Arena.make(kernel, trace.header);
  const { equal, stop } = replayList(arena, trace.records, { maps: [] });
  arena.end();
  return { equal, difference: null, skipped: null, ...stop };
}

function replayList(arena: Arena, records: readonly TraceRecord[], chain: Chain): Progress {
  const { kernel } = arena;
  let equal = 0;
  for (const record of records) {
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
  if (record.op === "start") return stopAt(compareMaps(record, chain.maps, arena.maps()));
  const faultsBefore = faultsOf(kernel);
  kernel.cpu.tlb.flushAll();
  const done = perform(arena, record);
  if (done === null) return { skipped: record.op };
  const faults = faultsOf(kernel) - faultsBefore;
  return stopAt(
    compare(record, "ret", record.ret, done.ret) ??
      compare(record, "val", record.val ?? null, done.val ?? null) ??
      compareMaps(record, chain.maps, arena.maps()) ??
      compare(record, "minflt", record.minflt ?? 0, faults),
  );
}

/** The parent goes on, then the child runs and ends, then the parent is looked at. */
function replayFork(arena: Arena, record: TraceRecord, chain: Chain): Progress["stop"] {
  const child = arena.fork();
  const inParent = nested(record, "parent", replayList(arena, record.parent ?? [], chain));
  child.enter();
  const inChild = inParent ?? nested(record, "child", replayList(child, record.child ?? [], { maps: [] }));
  child.end();
  arena.enter();
  if (inChild !== null) return inChild;
  chain.maps = record.maps ?? chain.maps;
  return stopAt(compareMaps(record, chain.maps, arena.maps()));
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
