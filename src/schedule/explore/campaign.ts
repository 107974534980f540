/**
 * A campaign: many executions of one small program, each from the same snapshot, each under another schedule.
 *
 * Workers live for the whole campaign and no message passes through the main thread: the CPU that ends last checks the
 * oracle, restores the snapshot, seeds the next execution and goes on.
 *
 * An audit runs every execution twice under one seed: what differs is chance that the scheduler does not control, and
 * no schedule could be replayed.
 */

import { MachineStopped, witnessBugs } from "../../memory/bug.ts";
import { Control } from "../../memory/control.ts";
import { Nondeterminism } from "../../memory/endings.ts";
import { splitmix32 } from "../../memory/random.ts";
import type { DirtyPages } from "./dirty-pages.ts";
import { explore } from "./state.ts";
import type { Strategy } from "./strategy.ts";
import type { ExploreTurn } from "./turn.ts";

const shared = explore;

export interface CampaignPlan {
  readonly seed: number;
  readonly executions: number;
  readonly stepLimit: number;
  /** Hash RAM after each execution: costs microseconds an execution. */
  readonly hashes: boolean;
  /** Run each execution twice and compare. */
  readonly audit?: boolean;
}

export interface ProgramPart<Scene> {
  /** This CPU's part of an execution. */
  run(): void;
  /** At rest, on the CPU that ended last: throws when the oracle fails. */
  check(): void;
  /** Who waits for what, looked at when an execution fails, before anything unwinds. */
  look(): Scene;
}

/** How an execution failed, as the CPU that noticed it saw it. */
export interface ExecutionFailure<Scene> {
  readonly execution: number;
  readonly step: number;
  readonly error: unknown;
  /** Pairs (step, cpu). */
  readonly tape: Int32Array;
  /** Hash of the machine's state at the failure. */
  readonly hash: number;
  readonly scene: Scene;
}

export interface CampaignEnd<Scene> {
  readonly failure: ExecutionFailure<Scene> | null;
  /** One hash over all executions, in order; 0 without `hashes`. */
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
    words[shared.execution] = 1;
    words[shared.wanted] = plan.executions;
    for (const word of [
      shared.over,
      shared.aborted,
      shared.horizon,
      shared.done,
      shared.hash,
      shared.secondPass,
    ])
      words[word] = 0;
    words[shared.stepLimit] = plan.stepLimit;
    this.doubles[shared.totalSteps >> 1] = 0;
    this.doubles[shared.totalSwitches >> 1] = 0;
    this.dirty.takeSnapshot();
    words[shared.startHash] = this.dirty.hashOfAll();
    this.turn.giveBaton(this.turn.beginExecution(this.strategy, executionSeed(plan.seed, 1)));
  }

  /** This CPU's side of the whole campaign. */
  run<Scene>(part: ProgramPart<Scene>): CampaignEnd<Scene> {
    const { words, turn } = this;
    let first: ExecutionFailure<Scene> | null = null;
    const look = (error: unknown): ExecutionFailure<Scene> => {
      first ??= this.failureNow(error, part);
      return first;
    };
    witnessBugs(() => look(null));
    turn.awaitBaton();
    try {
      while (words[shared.over] === 0 && words[shared.aborted] === 0) {
        turn.startPart(this.strategy);
        part.run();
        if (!turn.endPart()) continue;
        turn.stopDeciding();
        part.check();
        this.conclude();
      }
    } catch (error) {
      if (!(error instanceof MachineStopped) || words[shared.aborted] === 0) {
        const failure = { ...look(error), error };
        this.count();
        Atomics.store(words, shared.aborted, 1);
        turn.releaseAll();
        return { failure, hash: words[shared.hash] };
      }
    } finally {
      witnessBugs(null);
      turn.stopDeciding();
    }
    return { failure: null, hash: words[shared.hash] };
  }

  /** What a failure looks like at this moment; from here on this CPU passes the baton to nobody. */
  private failureNow<Scene>(error: unknown, part: ProgramPart<Scene>): ExecutionFailure<Scene> {
    const { words, turn } = this;
    turn.stopDeciding();
    const tape = this.tape.slice(0, 2 * words[shared.tapeLength]);
    const hash = this.dirty.hash();
    return { execution: words[shared.execution], step: turn.length, error, tape, hash, scene: part.look() };
  }

  /** The execution went well: restores the snapshot and begins the next one, or ends the campaign. */
  private conclude(): void {
    const { words, turn, plan } = this;
    this.count();
    const hash = plan.hashes || plan.audit ? this.dirty.hash() : 0;
    if (plan.hashes) words[shared.hash] = Math.imul(words[shared.hash] ^ hash ^ this.tapeHash(), 0x01000193);
    if (plan.audit) this.compareRuns(hash);
    this.dirty.restore();
    if (words[shared.secondPass] === 0) {
      words[shared.done]++;
      words[shared.horizon] = Math.max(turn.length, words[shared.horizon] - (words[shared.horizon] >> 6));
      const stopped = Atomics.load(words, Control.stop) !== 0;
      if (words[shared.execution] >= words[shared.wanted] || stopped) {
        Atomics.store(words, shared.over, 1);
        turn.releaseAll();
        return;
      }
      words[shared.execution]++;
    }
    const first = turn.beginExecution(this.strategy, executionSeed(plan.seed, words[shared.execution]));
    if (first === turn.cpu) return;
    turn.giveBaton(first);
    turn.awaitBaton();
  }

  /** Audit: remembers how the first run of an execution went, or compares the second with it. */
  private compareRuns(hash: number): void {
    const { words, turn } = this;
    const tape = this.tapeHash();
    const second = words[shared.secondPass] !== 0;
    words[shared.secondPass] = second ? 0 : 1;
    if (!second) {
      words[shared.firstSteps] = turn.length;
      words[shared.firstTape] = tape;
      words[shared.firstHash] = hash;
      return;
    }
    const differences: string[] = [];
    const firstSteps = words[shared.firstSteps];
    if (firstSteps !== turn.length) differences.push(`${firstSteps} steps, then ${turn.length}`);
    if (words[shared.firstTape] !== tape) differences.push("other hand-overs");
    if (words[shared.firstHash] !== (hash | 0)) differences.push("other contents of RAM or CPUs");
    if (differences.length === 0) return;
    throw new Nondeterminism(
      `execution ${words[shared.execution]} went otherwise when run again with the same schedule: ` +
        `${differences.join("; ")}. Something outside simulated RAM survives an execution or depends on chance`,
    );
  }

  private tapeHash(): number {
    let hash = 0x811c9dc5;
    const end = 2 * this.words[shared.tapeLength];
    for (let i = 0; i < end; i++) hash = Math.imul(hash ^ this.tape[i], 0x01000193);
    return hash;
  }

  private count(): void {
    const { words, doubles, turn } = this;
    doubles[shared.totalSteps >> 1] += turn.length;
    doubles[shared.totalSwitches >> 1] += words[shared.tapeLength] - 1;
  }
}
