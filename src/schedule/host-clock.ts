/**
 * One clock for all threads: nanoseconds since the machine's origin.
 *
 * `performance.now()` starts at zero in every worker; each thread measures its own distance to the origin once, against
 * the monotonic clock of the host.
 */

/** A moment of the host's monotonic clock: seconds and nanoseconds. */
export type HostMoment = readonly [seconds: number, nanoseconds: number];

export const hostMoment = (): HostMoment => process.hrtime();

export class HostClock {
  private readonly offsetNs: number;

  constructor(origin: HostMoment) {
    let best = Infinity;
    let offset = 0;
    for (let i = 0; i < 5; i++) {
      const before = performance.now();
      const [seconds, nanoseconds] = process.hrtime();
      const after = performance.now();
      if (after - before >= best) continue;
      best = after - before;
      const host = (seconds - origin[0]) * 1e9 + (nanoseconds - origin[1]);
      offset = host - ((before + after) / 2) * 1e6;
    }
    this.offsetNs = offset;
  }

  nowNs(): number {
    return performance.now() * 1e6 + this.offsetNs;
  }
}
