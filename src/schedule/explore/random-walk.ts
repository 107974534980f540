/** Random walk: uniform among the enabled CPUs at every step. */

import { explore } from "./state.ts";
import { countCpus, Draws, NEVER, nthCpu, type Strategy } from "./strategy.ts";

const shared = explore;

export class RandomWalk extends Draws implements Strategy {
  readonly reconsidersOnWake = true;

  begin(seed: number): void {
    this.seedDraws(seed);
  }

  nextStep(step: number): number {
    const enabled = this.words[shared.enabled];
    return (enabled & (enabled - 1)) === 0 && this.words[shared.timed] === 0 ? NEVER : step + 1;
  }

  pick(enabled: number): number {
    return nthCpu(enabled, this.draw(countCpus(enabled)));
  }

  spins(): void {}
}
