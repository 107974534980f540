/**
 * Replays a recorded tape of (step, cpu) decisions, and remembers the first step at which the program did otherwise.
 *
 * A program that has not changed takes every decision of the tape; any other end is a change in the program.
 */

import { explore } from "./state.ts";
import { Draws, NEVER, nthCpu, type Strategy, TIMED_OUT, type TimeoutDecision } from "./strategy.ts";

const shared = explore;

export class Replay extends Draws implements Strategy {
  readonly reconsidersOnWake = false;
  private readonly tape: Int32Array;

  /** `tape` ends with an entry of step 0; the first entry, too, has step 0. */
  constructor(words: Int32Array, tape: Int32Array) {
    super(words);
    this.tape = tape;
  }

  begin(seed: number): void {
    this.seedDraws(seed);
    this.words[shared.replayAt] = 0;
    this.words[shared.diverged] = 0;
  }

  nextStep(): number {
    const at = 2 * this.words[shared.replayAt];
    const step = this.tape[at];
    return step === 0 ? NEVER : step;
  }

  pick(enabled: number, self: number, step: number): number {
    const at = 2 * this.words[shared.replayAt];
    const due = this.tape[at];
    const cpu = this.tape[at + 1];
    const recorded = due === step && (step > 0 || at === 0);
    if (recorded && (cpu & TIMED_OUT) === 0 && (enabled & (1 << cpu)) !== 0) {
      this.words[shared.replayAt]++;
      return cpu;
    }
    const selfRuns = (enabled & (1 << self)) !== 0;
    const early = due > step || (due === 0 && at > 0);
    if (!(selfRuns && early)) this.diverge(step);
    return selfRuns ? self : nthCpu(enabled, 0);
  }

  override pickTimeout({ timed, enabled, step }: TimeoutDecision): number {
    const at = 2 * this.words[shared.replayAt];
    const cpu = this.tape[at + 1] & ~TIMED_OUT;
    const recorded = this.tape[at] === step && (this.tape[at + 1] & TIMED_OUT) !== 0;
    if (recorded && (timed & (1 << cpu)) !== 0) {
      this.words[shared.replayAt]++;
      return cpu;
    }
    if (enabled !== 0) return -1;
    this.diverge(step);
    return nthCpu(timed, 0);
  }

  spins(): void {}

  private diverge(step: number): void {
    if (this.words[shared.diverged] === 0) this.words[shared.diverged] = step + 1;
  }
}
