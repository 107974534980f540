/**
 * One clock for all threads: nanoseconds since the machine's origin.
 *
 * `performance.now()` starts at zero in every worker; each thread measures its own distance to the origin once, against
 * the monotonic clock of the host.
 */

/** The host's monotonic clock, ns, as text: what a machine's origin is passed around as. */
export const monotonicNs = (): string => process.hrtime.bigint().toString();

export class HostClock {
  private readonly offsetNs: number;

  constructor(origin: string) {
    let best = Infinity;
    let offset = 0;
    for (let i = 0; i < 5; i++) {
      const before = performance.now();
      const host = Number(process.hrtime.bigint() - BigInt(origin));
      const after = performance.now();
      if (after - before >= best) continue;
      best = after - before;
      offset = host - ((before + after) / 2) * 1e6;
    }
    this.offsetNs = offset;
  }

  nowNs(): number {
    return performance.now() * 1e6 + this.offsetNs;
  }
}
