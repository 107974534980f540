/**
 * Trace rings: the last events of each CPU, for hang reports and timelines.
 *
 * One ring a CPU in one shared buffer; its owner alone writes.  Waits, interrupts and phases are always recorded (they
 * are rare); single operations only with `--trace`.
 */

import { align, float64, struct, word, wordsIn } from "./struct.ts";

export const TraceEvent = {
  LOCK_WAIT_BEGIN: 1, // a: lock class, b: lock address
  LOCK_WAIT_END: 2,
  LOCK_HELD_BEGIN: 3, // with lock statistics or tracing
  LOCK_HELD_END: 4,
  IPI_SEND: 5, // a: target CPU, b: vector
  IRQ_ENTER: 6, // a: vector
  IRQ_EXIT: 7,
  PARK: 8, // a: why, see OffCore
  RUN: 9,
  PHASE_BEGIN: 10, // a: place of the phase among those of the run
  PHASE_END: 11,
  OPERATION_BEGIN: 12, // a: operation code of the workload, b: argument
  OPERATION_END: 13,
  // Steps of an exploration that is traced; a: address, b: value.
  READ: 16,
  WRITE: 17,
  LOAD: 18,
  STORE: 19,
  CAS: 20, // b: the value found
  CAS_TO: 21, // b: the value put
  ADD: 22, // b: the value found
  AND: 23,
  OR: 24,
  EXCHANGE: 25,
  READ_BYTE: 26, // a: the word's address
  WRITE_BYTE: 27,
  LOAD_BYTE: 28,
  STORE_BYTE: 29,
  CAS_BYTE: 30,
  FILL: 31, // b: words
  COPY: 32, // b: words
  WAIT: 33, // b: the value waited on
  WAKE: 34,
  /** Free for kernel modules; a and b are theirs. */
  MARK: 14,
} as const;

/** Why a CPU is off its core. */
export const OffCore = {
  /** It waits, and sleeps until it is kicked. */
  PARKED: 0,
  /** It could run; other CPUs have the run tokens. */
  WAITS_FOR_TOKEN: 1,
} as const;

export const TRACE_EVENT_NAMES: readonly string[] = [
  "?",
  "lock wait",
  "lock taken",
  "lock held",
  "lock released",
  "ipi send",
  "irq enter",
  "irq exit",
  "park",
  "run",
  "phase begin",
  "phase end",
  "operation begin",
  "operation end",
  "mark",
  "?",
  "read",
  "write",
  "load",
  "store",
  "cas",
  "cas to",
  "add",
  "and",
  "or",
  "exchange",
  "read byte",
  "write byte",
  "load byte",
  "store byte",
  "cas byte",
  "fill",
  "copy",
  "wait",
  "wake",
];

const Event = struct("trace_event", {
  timeNs: float64("owner-cpu"),
  code: word("owner-cpu"),
  a: word("owner-cpu"),
  b: word("owner-cpu"),
  end: align(8),
});
const EVENT_WORDS = 8;
if (wordsIn(Event) !== EVENT_WORDS) throw new Error("trace event is not 8 words");
const HEADER_WORDS = 16;

export interface TraceRecord {
  readonly timeNs: number;
  readonly code: number;
  readonly a: number;
  readonly b: number;
}

/** What a ring still holds, oldest first; `dropped`: it has lost older events. */
export interface RingContents {
  readonly records: readonly TraceRecord[];
  readonly dropped: boolean;
}

/** Words of the trace buffer for `cpus` rings of `events` (a power of two) events each. */
export const traceWords = (cpus: number, events: number): number =>
  cpus * (HEADER_WORDS + events * EVENT_WORDS);

export class TraceRing {
  declare private readonly words: Int32Array;
  declare private readonly doubles: Float64Array;
  declare private readonly base: number;
  declare private readonly mask: number;
  declare private readonly now: () => number;

  constructor(buffer: SharedArrayBuffer, options: { cpu: number; events: number; nowNs: () => number }) {
    this.words = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
    this.base = options.cpu * (HEADER_WORDS + options.events * EVENT_WORDS);
    this.mask = options.events - 1;
    this.now = options.nowNs;
  }

  record(code: number, a: number, b: number): void {
    const next = this.words[this.base]++;
    const at = this.base + HEADER_WORDS + (next & this.mask) * EVENT_WORDS;
    this.doubles[(at + Event.timeNs) >> 1] = this.now();
    this.words[at + Event.code] = code;
    this.words[at + Event.a] = a;
    this.words[at + Event.b] = b;
  }

  clear(): void {
    this.words[this.base] = 0;
  }

  /** Events recorded since `clear`, those that the ring has dropped included. */
  get recorded(): number {
    return this.words[this.base];
  }

  /** All that the ring still holds. */
  contents(): RingContents {
    const records = this.last(this.mask + 1);
    return { records, dropped: this.recorded > records.length };
  }

  /** The last `count` events, oldest first. */
  last(count: number): TraceRecord[] {
    const end = this.words[this.base];
    const start = Math.max(0, end - Math.min(count, this.mask + 1));
    const records: TraceRecord[] = [];
    for (let i = start; i < end; i++) {
      const at = this.base + HEADER_WORDS + (i & this.mask) * EVENT_WORDS;
      records.push({
        timeNs: this.doubles[(at + Event.timeNs) >> 1],
        code: this.words[at + Event.code],
        a: this.words[at + Event.a],
        b: this.words[at + Event.b],
      });
    }
    return records;
  }
}
