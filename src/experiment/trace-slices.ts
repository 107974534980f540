/**
 * From one CPU's trace records to slices that nest: begin and end events matched, what the ring lost closed honestly.
 *
 * A CPU does one thing at a time and comes back from it, so waits, interrupts, sleeps, phases and operations nest like
 * calls.  Two things break the pairs: the ring forgets its oldest events, and a failing CPU unwinds without ending what it
 * began.  Such slices are cut at the window's edge, or where the enclosing one ends, and marked.
 */

import { TraceEvent, type TraceRecord } from "../memory/trace.ts";

export interface Slice {
  readonly kind: SliceKind;
  readonly a: number;
  readonly b: number;
  readonly startNs: number;
  readonly endNs: number;
  /** Its begin or end is not on record. */
  readonly cut: boolean;
}

export type SliceKind = "lock wait" | "irq" | "off core" | "phase" | "operation";

interface Open {
  readonly kind: SliceKind;
  readonly record: TraceRecord;
}

const BEGINS = new Map<number, SliceKind>([
  [TraceEvent.LOCK_WAIT_BEGIN, "lock wait"],
  [TraceEvent.IRQ_ENTER, "irq"],
  [TraceEvent.PARK, "off core"],
  [TraceEvent.PHASE_BEGIN, "phase"],
  [TraceEvent.OPERATION_BEGIN, "operation"],
]);

const ENDS = new Map<number, SliceKind>([
  [TraceEvent.LOCK_WAIT_END, "lock wait"],
  [TraceEvent.IRQ_EXIT, "irq"],
  [TraceEvent.RUN, "off core"],
  [TraceEvent.PHASE_END, "phase"],
  [TraceEvent.OPERATION_END, "operation"],
]);

/** The slices of `records`, which are one CPU's, oldest first.  `dropped`: the ring has lost older ones. */
export function slicesOf(records: readonly TraceRecord[], dropped: boolean): Slice[] {
  const slices: Slice[] = [];
  const open: Open[] = [];
  const close = (endNs: number, cut: boolean): void => {
    const { kind, record } = open.pop()!;
    slices.push({ kind, a: record.a, b: record.b, startNs: record.timeNs, endNs, cut });
  };
  for (const record of records) {
    const begun = BEGINS.get(record.code);
    if (begun !== undefined) open.push({ kind: begun, record });
    const ended = ENDS.get(record.code);
    if (ended === undefined) continue;
    const at = open.findLastIndex((o) => o.kind === ended);
    if (at >= 0) {
      while (open.length > at + 1) close(record.timeNs, true);
      close(record.timeNs, false);
    } else if (dropped && open.length === 0) {
      const startNs = records[0].timeNs;
      slices.push({ kind: ended, a: record.a, b: record.b, startNs, endNs: record.timeNs, cut: true });
    }
  }
  while (open.length > 0) close(records[records.length - 1].timeNs, true);
  // Outer slices first among those that begin together: viewers nest them in this order.
  return slices.toSorted((x, y) => x.startNs - y.startNs || y.endNs - x.endNs);
}
