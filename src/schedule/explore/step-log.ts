/**
 * What a CPU did in a traced execution, step by step, for the table of a failure report.
 *
 * Steps late enough to be shown are kept whole, with the name of the place and the call site, both taken while they are
 * true; of the others only the addresses are kept, since they tell which words the CPUs share.
 */

import { TraceEvent } from "../../memory/trace.ts";
import type { Pointer } from "../../memory/units.ts";
import type { ExploreTurn } from "./turn.ts";

/** Steps that one CPU keeps whole. */
const KEPT_STEPS = 1024;
const STACK_FRAMES = 16;
const E = TraceEvent;
const WITHOUT_EFFECT: readonly number[] = [E.READ, E.LOAD, E.READ_BYTE, E.LOAD_BYTE, E.WAIT, E.WAKE, E.PARK];

/** Whether a step of this kind may change the word at its address. */
export const isWrite = (kind: number): boolean => !WITHOUT_EFFECT.includes(kind);

export interface StepRecord {
  readonly step: number;
  readonly cpu: number;
  /** A `TraceEvent`. */
  readonly kind: number;
  readonly address: Pointer;
  readonly place: string;
  readonly before: number;
  readonly after: number;
  /** Words of a bulk access, else 1. */
  readonly words: number;
  /** The call stack as V8 prints it. */
  readonly stack: string;
}

/** What crosses to the main thread. */
export interface LoggedSteps {
  readonly records: readonly StepRecord[];
  /** Words that this CPU read or wrote. */
  readonly touched: Int32Array;
  /** Words that this CPU wrote. */
  readonly written: Int32Array;
}

export class StepLog {
  private readonly turn: ExploreTurn;
  private readonly cpu: number;
  private name: (address: Pointer) => string = (address) => `ram+0x${(address * 4).toString(16)}`;
  private from = Infinity;
  private records: StepRecord[] = [];
  private readonly touched = new Set<Pointer>();
  private readonly written = new Set<Pointer>();

  constructor(turn: ExploreTurn, cpu: number) {
    this.turn = turn;
    this.cpu = cpu;
  }

  /** Begins anew; steps from `from` on are kept whole, and `name` names their addresses. */
  start(from: number, name: (address: Pointer) => string): void {
    this.from = from;
    this.name = name;
    this.records = [];
    this.touched.clear();
    this.written.clear();
  }

  /** One access of one word, or an event of the scheduler at `address` (0: none). */
  add(kind: number, address: Pointer, before: number, after: number): void {
    if (!this.turn.deciding) return;
    if (address !== 0) this.touched.add(address);
    if (isWrite(kind)) this.written.add(address);
    this.keep(kind, address, before, after, 1);
  }

  /** A bulk access that writes `words` words. */
  addBulk(kind: number, address: Pointer, words: number): void {
    if (!this.turn.deciding) return;
    for (let i = 0; i < words; i++) {
      this.touched.add(address + i);
      this.written.add(address + i);
    }
    this.keep(kind, address, 0, 0, words);
  }

  take(): LoggedSteps {
    return {
      records: this.records,
      touched: Int32Array.from(this.touched),
      written: Int32Array.from(this.written),
    };
  }

  private keep(kind: number, address: Pointer, before: number, after: number, words: number): void {
    const { step } = this.turn;
    if (step < this.from) return;
    if (this.records.length >= 2 * KEPT_STEPS) this.records = this.records.slice(-KEPT_STEPS);
    const place = address === 0 ? "" : this.name(address);
    this.records.push({
      step,
      cpu: this.cpu,
      kind,
      address,
      place,
      before,
      after,
      words,
      stack: callStack(),
    });
  }
}

/** The present call stack; 7 microseconds. */
function callStack(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = STACK_FRAMES;
  const holder: { stack?: string } = {};
  Error.captureStackTrace(holder, callStack);
  Error.stackTraceLimit = limit;
  return holder.stack ?? "";
}
