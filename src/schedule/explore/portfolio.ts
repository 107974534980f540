/** Both strategies in turn: PCT on odd executions, the random walk on even ones.  Each finds bugs that the other misses. */

import type { Pct } from "./pct.ts";
import type { RandomWalk } from "./random-walk.ts";
import { explore } from "./state.ts";
import type { Strategy, TimeoutDecision } from "./strategy.ts";

const shared = explore;

export class Portfolio implements Strategy {
  readonly reconsidersOnWake = true;
  private readonly words: Int32Array;
  private readonly pct: Pct;
  private readonly random: RandomWalk;

  constructor(words: Int32Array, pct: Pct, random: RandomWalk) {
    this.words = words;
    this.pct = pct;
    this.random = random;
  }

  /** Whether execution `number` of a campaign runs under PCT. */
  static usesPct(number: number): boolean {
    return (number & 1) === 1;
  }

  begin(seed: number, cpus: number): void {
    this.present.begin(seed, cpus);
  }
  nextStep(step: number): number {
    return this.present.nextStep(step);
  }
  pick(enabled: number, self: number, step: number): number {
    return this.present.pick(enabled, self, step);
  }
  spins(cpu: number): void {
    this.present.spins(cpu);
  }
  pickTimeout(decision: TimeoutDecision): number {
    return this.present.pickTimeout(decision);
  }

  private get present(): Pct | RandomWalk {
    return Portfolio.usesPct(this.words[shared.execution]) ? this.pct : this.random;
  }
}
