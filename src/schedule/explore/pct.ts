/**
 * PCT: random distinct priorities, the highest enabled runs; at d-1 random steps the running CPU's priority falls below
 * all others.  Burckhardt et al., ASPLOS 2010: a bug of depth d is hit with probability at least 1 / (n k^(d-1)).
 *
 * Differs: k is estimated from the executions before, and a CPU that spins is lowered too.
 */

import { explore, exploreCpu, exploreCpuBase, MAX_CHANGES } from "./state.ts";
import { Draws, NEVER, type Strategy } from "./strategy.ts";

const shared = explore;
const per = exploreCpu;
/** The least estimate of k. */
const MIN_HORIZON = 8;

export class Pct extends Draws implements Strategy {
  readonly reconsidersOnWake = true;
  private readonly depth: number;

  constructor(words: Int32Array, depth: number) {
    super(words);
    this.depth = depth;
  }

  begin(seed: number, cpus: number): void {
    const w = this.words;
    this.seedDraws(seed);
    for (let cpu = 0; cpu < cpus; cpu++) w[exploreCpuBase(cpu) + per.priority] = this.depth + cpu;
    for (let cpu = cpus - 1; cpu > 0; cpu--) this.swapPriorities(cpu, this.draw(cpu + 1));
    this.drawChanges(Math.max(w[shared.horizon], MIN_HORIZON));
    w[shared.changePoint] = 0;
    w[shared.lowered] = 0;
  }

  nextStep(step: number): number {
    const w = this.words;
    let at = w[shared.changePoint];
    while (at < MAX_CHANGES && w[shared.changes + at] <= step) at++;
    return at < MAX_CHANGES ? w[shared.changes + at] : NEVER;
  }

  pick(enabled: number, self: number, step: number): number {
    const w = this.words;
    let at = w[shared.changePoint];
    while (at < MAX_CHANGES && w[shared.changes + at] <= step) {
      this.lower(self);
      at++;
    }
    w[shared.changePoint] = at;
    let best = -1;
    let bestPriority = -NEVER;
    for (let m = enabled; m !== 0; m &= m - 1) {
      const cpu = 31 - Math.clz32(m & -m);
      const priority = w[exploreCpuBase(cpu) + per.priority];
      if (priority > bestPriority) {
        best = cpu;
        bestPriority = priority;
      }
    }
    return best;
  }

  spins(cpu: number): void {
    this.lower(cpu);
  }

  /** d-1 steps in [1, horizon], ascending; the rest of the list never comes. */
  private drawChanges(horizon: number): void {
    const w = this.words;
    w.fill(NEVER, shared.changes, shared.changes + MAX_CHANGES);
    for (let i = 0; i < this.depth - 1; i++) {
      const step = 1 + this.draw(horizon);
      let at = shared.changes + i;
      for (; at > shared.changes && w[at - 1] > step; at--) w[at] = w[at - 1];
      w[at] = step;
    }
  }

  private lower(cpu: number): void {
    this.words[exploreCpuBase(cpu) + per.priority] = this.depth - 1 - ++this.words[shared.lowered];
  }

  private swapPriorities(a: number, b: number): void {
    const w = this.words;
    const pa = exploreCpuBase(a) + per.priority;
    const pb = exploreCpuBase(b) + per.priority;
    const kept = w[pa];
    w[pa] = w[pb];
    w[pb] = kept;
  }
}
