/**
 * Strategies: who takes the next step.
 *
 * A strategy is asked at every *decision*: at steps it chose itself (`nextStep`), and whenever the running CPU cannot go
 * on.  Its state is in shared words, since each decision is made by whichever CPU has the baton.
 */

import { splitmix32 } from "../../memory/random.ts";
import { explore, exploreCpu, exploreCpuBase, MAX_CHANGES } from "./state.ts";

export const NEVER = 0x7fffffff;

export interface Strategy {
  /** Prepares execution `seed` on `cpus` CPUs. */
  begin(seed: number, cpus: number): void;
  /** The first step after `step` at which it wants to decide; NEVER for none. */
  nextStep(step: number): number;
  /** One of the CPUs in the bit mask `enabled` (never 0).  `self` is the running CPU; its bit is clear if it cannot go on. */
  pick(enabled: number, self: number, step: number): number;
  /** `cpu` spins without progress: others should run. */
  spins(cpu: number): void;
  /** Whether CPUs that just became enabled must be looked at before the running one goes on. */
  readonly reconsidersOnWake: boolean;
  /** One of the CPUs in `timed` whose timed wait runs out at a forced decision, or -1. */
  pickTimeout(timed: number, enabled: number, step: number): number;
}

/** In a tape's CPU: it goes on because its wait timed out. */
export const TIMED_OUT = 0x100;
/** One in so many forced decisions lets a timed wait run out although others could run. */
const TIMEOUT_ODDS = 16;

const bits = (mask: number): number => {
  let m = mask - ((mask >>> 1) & 0x55555555);
  m = (m & 0x33333333) + ((m >>> 2) & 0x33333333);
  return Math.imul((m + (m >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
};

/** Position of the `n`th (from 0) set bit. */
function nthBit(mask: number, n: number): number {
  let m = mask;
  for (let i = 0; i < n; i++) m &= m - 1;
  return 31 - Math.clz32(m & -m);
}

/** Draws shared by all strategies: xorshift128 in the control buffer. */
class Draws {
  protected readonly words: Int32Array;

  constructor(words: Int32Array) {
    this.words = words;
  }

  protected seedDraws(seed: number): void {
    let state = seed | 0;
    for (let i = 0; i < 4; i++) {
      const { next, output } = splitmix32(state);
      state = next;
      this.words[explore.random0 + i] = output | (i === 0 ? 1 : 0);
    }
  }

  pickTimeout(timed: number, enabled: number, _step: number): number {
    if (enabled !== 0 && this.draw(TIMEOUT_ODDS) !== 0) return -1;
    return nthBit(timed, this.draw(bits(timed)));
  }

  protected draw(bound: number): number {
    const w = this.words;
    const at = explore.random0;
    const t = w[at] ^ (w[at] << 11);
    w[at] = w[at + 1];
    w[at + 1] = w[at + 2];
    w[at + 2] = w[at + 3];
    const last = w[at + 3];
    const next = last ^ (last >>> 19) ^ t ^ (t >>> 8);
    w[at + 3] = next;
    return Math.floor(((next >>> 0) / 0x1_0000_0000) * bound);
  }
}

/** Random walk: uniform among the enabled CPUs at every step. */
export class RandomWalk extends Draws implements Strategy {
  readonly reconsidersOnWake = true;

  begin(seed: number): void {
    this.seedDraws(seed);
  }

  nextStep(step: number): number {
    return (this.words[explore.enabled] & (this.words[explore.enabled] - 1)) === 0 ? NEVER : step + 1;
  }

  pick(enabled: number): number {
    return nthBit(enabled, this.draw(bits(enabled)));
  }

  spins(): void {}
}

/**
 * PCT: random distinct priorities, the highest enabled runs; at d-1 random steps the running CPU's priority falls below
 * all others.  Burckhardt et al., ASPLOS 2010: a bug of depth d is hit with probability at least 1 / (n k^(d-1)).
 * Differs: k is the longest execution so far, and a CPU that spins is lowered too.
 */
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
    for (let cpu = 0; cpu < cpus; cpu++) w[exploreCpuBase(cpu) + exploreCpu.priority] = this.depth + cpu;
    for (let cpu = cpus - 1; cpu > 0; cpu--) this.swapPriorities(cpu, this.draw(cpu + 1));
    const changes: number[] = [];
    const horizon = Math.max(w[explore.longest], 8);
    for (let i = 0; i < this.depth - 1; i++) changes.push(1 + this.draw(horizon));
    changes.sort((a, b) => a - b);
    for (let i = 0; i < MAX_CHANGES; i++) w[explore.changes + i] = changes[i] ?? NEVER;
    w[explore.changePoint] = 0;
    w[explore.lowered] = 0;
  }

  nextStep(step: number): number {
    const w = this.words;
    let at = w[explore.changePoint];
    while (at < MAX_CHANGES && w[explore.changes + at] <= step) at++;
    return at < MAX_CHANGES ? w[explore.changes + at] : NEVER;
  }

  pick(enabled: number, self: number, step: number): number {
    const w = this.words;
    let at = w[explore.changePoint];
    while (at < MAX_CHANGES && w[explore.changes + at] <= step) {
      this.lower(self);
      at++;
    }
    w[explore.changePoint] = at;
    let best = -1;
    let bestPriority = -NEVER;
    for (let m = enabled; m !== 0; m &= m - 1) {
      const cpu = 31 - Math.clz32(m & -m);
      const priority = w[exploreCpuBase(cpu) + exploreCpu.priority];
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

  private lower(cpu: number): void {
    this.words[exploreCpuBase(cpu) + exploreCpu.priority] = this.depth - 1 - ++this.words[explore.lowered];
  }

  private swapPriorities(a: number, b: number): void {
    const w = this.words;
    const pa = exploreCpuBase(a) + exploreCpu.priority;
    const pb = exploreCpuBase(b) + exploreCpu.priority;
    const kept = w[pa];
    w[pa] = w[pb];
    w[pb] = kept;
  }
}

/** Replays a recorded tape of (step, cpu) decisions; remembers the first step at which the program did otherwise. */
export class Replay extends Draws implements Strategy {
  readonly reconsidersOnWake = false;
  private readonly tape: Int32Array;

  constructor(words: Int32Array, tape: Int32Array) {
    super(words);
    this.tape = tape;
  }

  begin(seed: number): void {
    this.seedDraws(seed);
    this.words[explore.replayAt] = 0;
    this.words[explore.diverged] = 0;
  }

  nextStep(): number {
    const step = this.tape[2 * this.words[explore.replayAt]];
    return step === 0 ? NEVER : step;
  }

  pick(enabled: number, self: number, step: number): number {
    const at = 2 * this.words[explore.replayAt];
    const due = this.tape[at];
    const cpu = this.tape[at + 1];
    if (due === step && (enabled & (1 << cpu)) !== 0 && (step > 0 || at === 0)) {
      this.words[explore.replayAt]++;
      return cpu;
    }
    const selfRuns = (enabled & (1 << self)) !== 0;
    const early = due > step || (due === 0 && at > 0);
    if (!(selfRuns && early) && this.words[explore.diverged] === 0) this.words[explore.diverged] = step + 1;
    return selfRuns ? self : nthBit(enabled, 0);
  }

  override pickTimeout(timed: number, _enabled: number, step: number): number {
    const at = 2 * this.words[explore.replayAt];
    const cpu = this.tape[at + 1] & ~TIMED_OUT;
    if (this.tape[at] !== step || (this.tape[at + 1] & TIMED_OUT) === 0 || (timed & (1 << cpu)) === 0)
      return -1;
    this.words[explore.replayAt]++;
    return cpu;
  }

  spins(): void {}
}
