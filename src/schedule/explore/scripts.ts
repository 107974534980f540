/**
 * Scripts: schedules that bend.  A script is a list of segments (CPU, how many steps it runs); a segment whose CPU cannot
 * run is passed over, and one whose CPU is stopped early ends early.  So a script from which something was removed still
 * runs, which is what shrinking needs.  Execution k of a campaign runs script k.
 */

import { explore } from "./state.ts";
import { Draws, NEVER, nthCpu, type Strategy, TIMED_OUT, type TimeoutDecision } from "./strategy.ts";

const shared = explore;

export interface Segment {
  /** The CPU, with its `TIMED_OUT` bit if its timed wait runs out. */
  readonly cpu: number;
  /** NEVER: until it cannot go on. */
  readonly steps: number;
}

export type Script = readonly Segment[];

/** The segments of a recorded tape. */
export function scriptOf(tape: Int32Array): Script {
  const segments: Segment[] = [];
  for (let i = 0; i < tape.length; i += 2) {
    const steps = i + 2 < tape.length ? tape[i + 2] - tape[i] : NEVER;
    segments.push({ cpu: tape[i + 1], steps });
  }
  return segments;
}

/** Scripts as words: the start of each, one start more for the end, then pairs (CPU, steps). */
export function packScripts(scripts: readonly Script[]): Int32Array {
  const words: number[] = [];
  let start = scripts.length + 1;
  for (const script of scripts) {
    words.push(start);
    start += 2 * script.length;
  }
  words.push(start);
  for (const script of scripts) for (const { cpu, steps } of script) words.push(cpu, steps);
  return Int32Array.from(words);
}

export class Scripts extends Draws implements Strategy {
  readonly reconsidersOnWake = false;
  private readonly packed: Int32Array;

  constructor(words: Int32Array, packed: Int32Array) {
    super(words);
    this.packed = packed;
  }

  begin(seed: number): void {
    this.seedDraws(seed);
    this.words[shared.replayAt] = this.packed[this.words[shared.execution] - 1];
    this.words[shared.segmentEnd] = 0;
  }

  nextStep(): number {
    return this.words[shared.segmentEnd];
  }

  pick(enabled: number, self: number, step: number): number {
    const goesOn = (enabled & (1 << self)) !== 0;
    if (goesOn && step > 0 && step < this.words[shared.segmentEnd]) return self;
    const next = this.nextSegment(enabled, step);
    if (next >= 0) return next;
    this.words[shared.segmentEnd] = NEVER;
    return goesOn ? self : nthCpu(enabled, 0);
  }

  override pickTimeout({ timed, enabled, step, forced }: TimeoutDecision): number {
    const { words, packed } = this;
    const at = words[shared.replayAt];
    const cpu = packed[at] & ~TIMED_OUT;
    const isDue = forced || step >= words[shared.segmentEnd];
    if (at < this.end && isDue && (packed[at] & TIMED_OUT) !== 0 && (timed & (1 << cpu)) !== 0) {
      this.enterSegment(at, step);
      return cpu;
    }
    return enabled === 0 ? nthCpu(timed, 0) : -1;
  }

  spins(): void {}

  private get end(): number {
    return this.packed[this.words[shared.execution]];
  }

  /** The CPU of the next segment that can run, or -1. */
  private nextSegment(enabled: number, step: number): number {
    const { packed, end } = this;
    for (let at = this.words[shared.replayAt]; at < end; at += 2) {
      const cpu = packed[at];
      if ((cpu & TIMED_OUT) !== 0 || (enabled & (1 << cpu)) === 0) continue;
      this.enterSegment(at, step);
      return cpu;
    }
    this.words[shared.replayAt] = end;
    return -1;
  }

  private enterSegment(at: number, step: number): void {
    const steps = this.packed[at + 1];
    this.words[shared.replayAt] = at + 2;
    this.words[shared.segmentEnd] = steps === NEVER ? NEVER : step + steps;
  }
}
