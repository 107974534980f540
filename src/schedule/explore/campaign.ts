/**
 * A campaign: many executions of one small program, each from the same snapshot, each under another schedule.
 *
 * Workers live for the whole campaign and no message passes through the main thread: the CPU that ends last checks the
 * oracle, restores the snapshot, seeds the next execution and goes on.
 */

import { MachineStopped } from "../../memory/bug.ts";
import { splitmix32 } from "../../memory/random.ts";
import type { DirtyPages } from "./dirty-pages.ts";
import { explore } from "./state.ts";
import type { Strategy } from "./strategy.ts";
import type { ExploreTurn } from "./turn.ts";

export interface CampaignPlan {
  readonly seed: number;
  readonly executions: number;
  readonly stepLimit: number;
  /** Hash RAM after each execution (audits and replays): costs microseconds an execution. */
  readonly hashes: boolean;
}

export interface ProgramPart {
  /** This CPU's part of an execution. */
  run(): void;
  /** At rest, on the CPU that ended last: throws when the oracle fails. */
  check(): void;
}

/** How an execution failed, as the CPU that noticed it saw it. */
export interface ExecutionFailure {
  readonly execution: number;
  readonly step: number;
  readonly error: unknown;
  /** Pairs (step, cpu). */
  readonly tape: Int32Array;
}

export interface CampaignEnd {
  readonly failure: ExecutionFailure | null;
  /** One hash over all executions that this CPU concluded, in order; 0 without `hashes`. */
  readonly hash: number;
}

/** The seed of execution `number` of a campaign. */
export const executionSeed = (seed: number, number: number): number =>
  splitmix32((seed ^ Math.imul(number, 0x9e3779b1)) | 0).output;

export class Campaign {
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly tape: Int32Array;
  private readonly turn: ExploreTurn;
  private readonly dirty: DirtyPages;
  private readonly strategy: Strategy;
  private readonly plan: CampaignPlan;

  constructor(parts: {
    control: Int32Array;
    tape: Int32Array;
    turn: ExploreTurn;
    dirty: DirtyPages;
    strategy: Strategy;
    plan: CampaignPlan;
  }) {
    this.words = parts.control;
    this.doubles = new Float64Array(parts.control.buffer);
    this.tape = parts.tape;
    this.turn = parts.turn;
    this.dirty = parts.dirty;
    this.strategy = parts.strategy;
    this.plan = parts.plan;
  }

  /** On CPU 0, before any CPU calls `run`: the present state is the one that every execution starts from. */
  prepare(): void {
    const { words, plan } = this;
    words[explore.execution] = 1;
    words[explore.wanted] = plan.executions;
    words[explore.over] = 0;
    words[explore.aborted] = 0;
    words[explore.longest] = 0;
    words[explore.stepLimit] = plan.stepLimit;
    this.doubles[explore.totalSteps >> 1] = 0;
    this.doubles[explore.totalSwitches >> 1] = 0;
    words[explore.hash] = 0;
    this.dirty.takeSnapshot();
    this.turn.giveBaton(this.turn.beginExecution(this.strategy, executionSeed(plan.seed, 1)));
  }

  /** This CPU's side of the whole campaign. */
  run(part: ProgramPart): CampaignEnd {
    const { words, turn } = this;
    turn.awaitBaton();
    while (words[explore.over] === 0 && words[explore.aborted] === 0) {
      try {
        turn.startPart(this.strategy);
        part.run();
        if (!turn.endPart()) continue;
        turn.stopDeciding();
        part.check();
      } catch (error) {
        if (error instanceof MachineStopped && words[explore.aborted] !== 0) break;
        return this.fail(error);
      }
      this.nextExecution();
    }
    turn.stopDeciding();
    return { failure: null, hash: words[explore.hash] };
  }

  /** The execution went well: restores the snapshot and begins the next one, or ends the campaign. */
  private nextExecution(): void {
    const { words, turn, plan } = this;
    this.count();
    if (plan.hashes)
      words[explore.hash] = Math.imul(words[explore.hash] ^ this.dirty.hash() ^ turn.step, 0x01000193);
    this.dirty.restore();
    if (words[explore.execution] >= words[explore.wanted]) {
      Atomics.store(words, explore.over, 1);
      turn.releaseAll();
      return;
    }
    const number = ++words[explore.execution];
    const first = turn.beginExecution(this.strategy, executionSeed(plan.seed, number));
    if (first === turn.cpu) return;
    turn.giveBaton(first);
    turn.awaitBaton();
  }

  private fail(error: unknown): CampaignEnd {
    const { words, turn } = this;
    turn.stopDeciding();
    this.count();
    const tape = this.tape.slice(0, 2 * words[explore.tapeLength]);
    const failure = { execution: words[explore.execution], step: turn.step, error, tape };
    Atomics.store(words, explore.aborted, 1);
    turn.releaseAll();
    return { failure, hash: words[explore.hash] };
  }

  private count(): void {
    const { words, doubles, turn } = this;
    doubles[explore.totalSteps >> 1] += turn.step;
    doubles[explore.totalSwitches >> 1] += words[explore.tapeLength];
    if (turn.step > words[explore.longest]) words[explore.longest] = turn.step;
  }
}
