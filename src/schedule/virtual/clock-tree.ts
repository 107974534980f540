/**
 * The simulated clocks of the CPUs that take part in a run, with the smallest at hand.
 *
 * A tournament: CPU c sits at leaf `size + c`, and each inner node names the CPU with the smaller clock of its two sides;
 * of equal clocks the lower CPU wins.  A change costs one comparison a level, so 256 CPUs cost 8 of them where a scan
 * would touch 256 lines.  Only who has the baton reads or writes it.
 *
 *   T1  node n (1 <= n < size) names the winner of nodes 2n and 2n+1
 *   T2  the clock of a CPU that cannot run, or takes no part, is Infinity
 */

import { WORD_BYTES } from "../../memory/units.ts";

const CLOCK_BYTES = 8;

/** Leaves of a tournament of `cpus`: the next power of two. */
const leavesFor = (cpus: number): number => 1 << Math.ceil(Math.log2(Math.max(cpus, 2)));

/** Bytes of the clocks of `cpus` CPUs: a float64 each, and a word for each inner node. */
export const clockTreeBytes = (cpus: number): number => leavesFor(cpus) * (CLOCK_BYTES + WORD_BYTES);

export class ClockTree {
  declare private readonly size: number;
  declare private readonly clocks: Float64Array;
  declare private readonly winners: Int32Array;

  constructor(buffer: SharedArrayBuffer, cpus: number) {
    const size = leavesFor(cpus);
    this.size = size;
    this.clocks = new Float64Array(buffer, 0, size);
    this.winners = new Int32Array(buffer, size * CLOCK_BYTES, size);
  }

  /** Nobody takes part. */
  format(): void {
    const { size, winners } = this;
    this.clocks.fill(Infinity);
    for (let node = size - 1; node > 0; node--)
      winners[node] = 2 * node >= size ? 2 * node - size : winners[2 * node];
  }

  clockOf(cpu: number): number {
    return this.clocks[cpu];
  }

  /** The CPU with the smallest clock; one with clock Infinity if none can run. */
  get first(): number {
    return this.winners[1];
  }

  /** The smallest clock but that of the first. */
  secondClock(): number {
    const { size, clocks, winners } = this;
    const first = winners[1];
    let second = clocks[first ^ 1];
    for (let node = (size + first) >> 1; node > 1; node >>= 1) {
      const loser = clocks[winners[node ^ 1]];
      if (loser < second) second = loser;
    }
    return second;
  }

  set(cpu: number, clock: number): void {
    const { size, clocks, winners } = this;
    clocks[cpu] = clock;
    const left = cpu & ~1;
    let winner = clocks[left + 1] < clocks[left] ? left + 1 : left;
    for (let node = (size + cpu) >> 1; ; node >>= 1) {
      const before = winners[node];
      winners[node] = winner;
      // Neither was nor is it this CPU: nothing changes above.
      if (node === 1 || (winner === before && winner !== cpu)) return;
      const other = winners[node ^ 1];
      const otherClock = clocks[other];
      const ownClock = clocks[winner];
      if (otherClock < ownClock || (otherClock === ownClock && other < winner)) winner = other;
    }
  }
}
