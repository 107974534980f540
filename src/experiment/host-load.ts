/**
 * Whether other programs used the host's cores while we measured: the commonest reason for figures that make no sense.
 *
 * Busy time of all cores less the processor time of this process (all its threads).  Where the host counts no times, or
 * hides those of others (containers may), the share is null or too small; it is never too large.
 */

import { availableParallelism, type CpuInfo, cpus } from "node:os";

/** Share of the host's cores above which a report warns. */
const WORTH_A_WARNING = 0.05;
/** Core times are counted in ticks of 10 ms: below this nothing can be said. */
const SHORTEST_MS = 500;

export class HostLoad {
  private readonly startedAt = performance.now();
  private readonly busyMs = busyMs(cpus());
  private readonly ownMs = ownMs();

  /** Share of the host's cores that others have used since this was made; null when it cannot be told. */
  othersShare(): number | null {
    const elapsedMs = performance.now() - this.startedAt;
    const busy = busyMs(cpus()) - this.busyMs;
    if (elapsedMs < SHORTEST_MS || busy <= 0) return null;
    return othersShareOf({
      elapsedMs,
      busyMs: busy,
      ownMs: ownMs() - this.ownMs,
      cores: availableParallelism(),
    });
  }
}

export function othersShareOf(times: {
  readonly elapsedMs: number;
  readonly busyMs: number;
  readonly ownMs: number;
  readonly cores: number;
}): number {
  const others = (times.busyMs - times.ownMs) / (times.elapsedMs * times.cores);
  return Math.min(1, Math.max(0, others));
}

/** A sentence for reports; null when the host was quiet or cannot tell. */
export function loadWarning(othersShare: number | null): string | null {
  if (othersShare === null || othersShare < WORTH_A_WARNING) return null;
  const share = Math.round(othersShare * 100);
  return `other programs used ${share} % of the host's cores meanwhile: expect noise, and repeat on a quiet host`;
}

function busyMs(cores: readonly CpuInfo[]): number {
  return cores.reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

function ownMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
