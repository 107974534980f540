/**
 * Strategies: who takes the next step.
 *
 * A strategy is asked at every *decision*: at steps it chose itself (`nextStep`), and whenever the running CPU cannot go
 * on.  Its state is in shared words, since each decision is made by whichever CPU has the baton.
 */

import { splitmix32 } from "../../memory/random.ts";
import { explore } from "./state.ts";

const shared = explore;
export const NEVER = 0x7fffffff;
/** In a tape's CPU: it goes on because its wait timed out. */
export const TIMED_OUT = 0x100;

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
  /** One of the CPUs in `timed`, whose timed wait runs out, or -1. */
  pickTimeout(decision: TimeoutDecision): number;
}

export interface TimeoutDecision {
  /** Bit mask of CPUs in a timed wait. */
  readonly timed: number;
  readonly enabled: number;
  readonly step: number;
  /** The running CPU cannot go on. */
  readonly forced: boolean;
}

/** One in so many decisions lets a timed wait run out although others could run. */
const FORCED_TIMEOUT_ODDS = 16;
const TIMEOUT_ODDS = 64;

export const countCpus = (mask: number): number => {
  let m = mask - ((mask >>> 1) & 0x55555555);
  m = (m & 0x33333333) + ((m >>> 2) & 0x33333333);
  return Math.imul((m + (m >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
};

/** The `n`th (from 0) CPU in a mask. */
export function nthCpu(mask: number, n: number): number {
  let m = mask;
  for (let i = 0; i < n; i++) m &= m - 1;
  return 31 - Math.clz32(m & -m);
}

/** Draws shared by all strategies: xorshift128 in the control buffer (Marsaglia, 2003). */
export class Draws {
  protected readonly words: Int32Array;

  constructor(words: Int32Array) {
    this.words = words;
  }

  pickTimeout({ timed, enabled, forced }: TimeoutDecision): number {
    if (enabled !== 0 && this.draw(forced ? FORCED_TIMEOUT_ODDS : TIMEOUT_ODDS) !== 0) return -1;
    return nthCpu(timed, this.draw(countCpus(timed)));
  }

  protected seedDraws(seed: number): void {
    let state = seed | 0;
    for (let i = 0; i < 4; i++) {
      const { next, output } = splitmix32(state);
      state = next;
      this.words[shared.random0 + i] = output | (i === 0 ? 1 : 0);
    }
  }

  /** A uniform integer in [0, bound). */
  protected draw(bound: number): number {
    const w = this.words;
    const first = w[shared.random0];
    const t = first ^ (first << 11);
    w[shared.random0] = w[shared.random1];
    w[shared.random1] = w[shared.random2];
    const last = w[shared.random3];
    w[shared.random2] = last;
    const next = last ^ (last >>> 19) ^ t ^ (t >>> 8);
    w[shared.random3] = next;
    return Math.floor(((next >>> 0) / 0x1_0000_0000) * bound);
  }
}
