/**
 * A kernel module: each CPU changes a counter by less than its threshold, then only ends operations, and says when the
 * timer tick has folded the change.
 */

import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { ZoneStat } from "../../../src/mm/pages/counters.ts";

const ITEM = ZoneStat.nr_mlock;
/** Below every threshold. */
const DELTA = 2;

export function run(kernel: Kernel, options: ProgramOptions): { foldedAfterNs: number; total: number } {
  const { cpu, pages } = kernel;
  const zone = pages.frames.populatedZones()[0];
  const held = (): number => pages.vmstat.zoneStateSnapshot(zone, ITEM) - pages.vmstat.zoneState(zone, ITEM);
  pages.vmstat.modZone(zone, ITEM, DELTA);
  kernel.gate();
  const heldBefore = held();
  kernel.gate();
  const start = cpu.nowNs();
  const giveUp = start + (options.seconds as number) * 1e9;
  // All CPUs tick, so all deltas come to the zone.
  while (held() !== 0 && cpu.nowNs() < giveUp) cpu.endOperation();
  const foldedAfterNs = held() === 0 && heldBefore === DELTA * kernel.cpus ? cpu.nowNs() - start : Infinity;
  kernel.gate();
  const total = pages.vmstat.zoneState(zone, ITEM);
  kernel.gate();
  pages.vmstat.modZone(zone, ITEM, -DELTA);
  return { foldedAfterNs, total };
}
