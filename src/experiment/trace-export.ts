/**
 * A machine's trace rings as Chrome Trace Event JSON, which Perfetto, chrome://tracing and speedscope open.
 *
 * One lane a CPU; lock waits, interrupts, sleeps, phases and operations as slices (`X`); an arrow (`s`, `f`) from each
 * interrupt's sender to its handler; lock holds as asynchronous spans (`b`, `e`), since they need not nest.
 * Format: "Trace Event Format", Duffy and others, Google.
 */

import {
  OffCore,
  type RingContents,
  TRACE_EVENT_NAMES,
  TraceEvent,
  type TraceRecord,
} from "../memory/trace.ts";
import { type Slice, slicesOf } from "./trace-slices.ts";

export interface CpuTrace extends RingContents {
  readonly cpu: number;
}

/** How the numbers in records are called. */
export interface TraceNames {
  readonly lock: (lockClass: number) => string;
  readonly vector: (vector: number) => string;
  readonly phase: (phase: number) => string;
}

/** An event as the format wants it; times in microseconds. */
export interface ChromeEvent {
  readonly ph: "M" | "X" | "s" | "f" | "i" | "b" | "e";
  readonly name: string;
  readonly cat?: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly id?: number | string;
  readonly bp?: "e";
  readonly s?: "t";
  readonly args?: Readonly<Record<string, unknown>>;
}

export interface ChromeTrace {
  readonly displayTimeUnit: "ns";
  readonly otherData: Readonly<Record<string, string>>;
  readonly traceEvents: readonly ChromeEvent[];
}

const PROCESS = 1;
/** A send is a moment; its slice only carries the arrow, and is no longer than this. */
const SEND_NS = 100;

/** The trace of all CPUs; `title` names the process lane. */
export function chromeTrace(
  cpus: readonly CpuTrace[],
  options: { readonly title: string; readonly names: TraceNames; readonly about: Record<string, string> },
): ChromeTrace {
  const originNs = Math.min(...cpus.flatMap(({ records }) => records.slice(0, 1).map((r) => r.timeNs)));
  const lanes = cpus.map((cpu) => new Lane(cpu, originNs, options.names));
  const events: ChromeEvent[] = [
    { ph: "M", name: "process_name", pid: PROCESS, tid: 0, args: { name: options.title } },
    ...lanes.flatMap((lane) => lane.events()),
    ...arrows(lanes),
  ];
  return {
    displayTimeUnit: "ns",
    otherData: { title: options.title, ...options.about },
    traceEvents: events,
  };
}

class Lane {
  readonly cpu: number;
  readonly records: readonly TraceRecord[];
  readonly slices: readonly Slice[];
  readonly names: TraceNames;
  private readonly originNs: number;
  private readonly dropped: boolean;
  /** Begin of each handler, by vector, ascending. */
  private readonly handlers = new Map<number, number[]>();

  constructor(trace: CpuTrace, originNs: number, names: TraceNames) {
    this.cpu = trace.cpu;
    this.records = trace.records;
    this.slices = slicesOf(trace.records, trace.dropped);
    this.names = names;
    this.originNs = originNs;
    this.dropped = trace.dropped;
    for (const { kind, a: vector, startNs } of this.slices) {
      if (kind !== "irq") continue;
      const begins = this.handlers.get(vector) ?? [];
      begins.push(startNs);
      this.handlers.set(vector, begins);
    }
  }

  events(): ChromeEvent[] {
    const { cpu } = this;
    return [
      { ph: "M", name: "thread_name", pid: PROCESS, tid: cpu, args: { name: `CPU ${cpu}` } },
      { ph: "M", name: "thread_sort_index", pid: PROCESS, tid: cpu, args: { sort_index: cpu } },
      ...this.slices.map((slice) => this.sliceEvent(slice)),
      ...this.records.flatMap((record, i) => this.momentEvent(record, this.records[i + 1])),
      ...this.holdEvents(),
    ];
  }

  /** When the first handler of `vector` at or after `sinceNs` began; undefined also when the ring forgot that time. */
  firstHandlerNs(vector: number, sinceNs: number): number | undefined {
    if (this.dropped && sinceNs < this.records[0].timeNs) return undefined;
    return firstFrom(this.handlers.get(vector) ?? [], sinceNs);
  }

  /** Microseconds since the first event of the trace. */
  time(ns: number): number {
    return Math.round(ns - this.originNs) / 1000;
  }

  private sliceEvent(slice: Slice): ChromeEvent {
    const ts = this.time(slice.startNs);
    const dur = Math.round((this.time(slice.endNs) - ts) * 1000) / 1000;
    const { name, args } = this.describe(slice);
    const cut = slice.cut ? { cut: "its begin or end is not on record" } : {};
    return {
      ph: "X",
      name,
      cat: slice.kind,
      pid: PROCESS,
      tid: this.cpu,
      ts,
      dur,
      args: { ...args, ...cut },
    };
  }

  private describe({ kind, a, b }: Slice): { name: string; args: Record<string, unknown> } {
    switch (kind) {
      case "lock wait":
        return { name: `wait ${this.names.lock(a)}`, args: { lock: this.names.lock(a), address: hex(b) } };
      case "irq":
        return { name: `irq ${this.names.vector(a)}`, args: { vector: a } };
      case "phase":
        return { name: this.names.phase(a), args: { phase: a } };
      case "operation":
        return { name: `operation ${a}`, args: { operation: a, argument: b } };
      case "off core":
        return { name: a === OffCore.WAITS_FOR_TOKEN ? "ready, waits for a token" : "parked", args: {} };
    }
  }

  private momentEvent(record: TraceRecord, next: TraceRecord | undefined): ChromeEvent[] {
    const ts = this.time(record.timeNs);
    const common = { pid: PROCESS, tid: this.cpu, ts };
    if (record.code === TraceEvent.IPI_SEND) {
      const end = Math.min(record.timeNs + SEND_NS, next?.timeNs ?? record.timeNs);
      const dur = Math.round((this.time(end) - ts) * 1000) / 1000;
      const name = `send ${this.names.vector(record.b)} to CPU ${record.a}`;
      return [{ ...common, ph: "X", name, cat: "ipi", dur, args: { target: record.a, vector: record.b } }];
    }
    if (record.code < TraceEvent.MARK) return [];
    const name = TRACE_EVENT_NAMES[record.code] ?? `event ${record.code}`;
    const args =
      record.code === TraceEvent.MARK
        ? { a: record.a, b: record.b }
        : { address: hex(record.a), value: record.b };
    return [{ ...common, ph: "i", s: "t", name, cat: "step", args }];
  }

  private holdEvents(): ChromeEvent[] {
    const held = new Map<number, number>();
    let holds = 0;
    return this.records.flatMap((record): ChromeEvent[] => {
      const { code, a, b, timeNs } = record;
      const common = {
        name: `hold ${this.names.lock(a)}`,
        cat: "lock held",
        pid: PROCESS,
        tid: this.cpu,
        ts: this.time(timeNs),
        args: { address: hex(b) },
      };
      if (code === TraceEvent.LOCK_HELD_BEGIN) {
        held.set(b, holds);
        return [{ ...common, ph: "b", id: `${this.cpu}.${holds++}` }];
      }
      const hold = held.get(b);
      if (code !== TraceEvent.LOCK_HELD_END || hold === undefined) return [];
      held.delete(b);
      return [{ ...common, ph: "e", id: `${this.cpu}.${hold}` }];
    });
  }
}

/**
 * Arrows from each send to the handler that served it: the first on the target that began after the send.  Sends of one
 * vector that arrive before the handler runs share its bit, so several arrows may end in one handler.
 */
function arrows(lanes: readonly Lane[]): ChromeEvent[] {
  const events: ChromeEvent[] = [];
  let id = 1;
  for (const lane of lanes) {
    for (const { code, a: target, b: vector, timeNs } of lane.records) {
      if (code !== TraceEvent.IPI_SEND) continue;
      const servedNs = lanes.find((candidate) => candidate.cpu === target)?.firstHandlerNs(vector, timeNs);
      if (servedNs === undefined) continue;
      const common = { name: lane.names.vector(vector), cat: "ipi", pid: PROCESS, id: id++ };
      events.push({ ...common, ph: "s", tid: lane.cpu, ts: lane.time(timeNs) });
      events.push({ ...common, ph: "f", bp: "e", tid: target, ts: lane.time(servedNs) });
    }
  }
  return events;
}

/** The smallest value of ascending `values` that is not below `least`. */
function firstFrom(values: readonly number[], least: number): number | undefined {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < least) low = middle + 1;
    else high = middle;
  }
  return values[low];
}

/** A word address as the byte address that reports print. */
const hex = (pointer: number): string => `0x${(pointer * 4).toString(16)}`;
