/** CPUs count in their own deltas and fold them into one total: no fold may be lost. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { ZoneStat } from "../mm/pages/counters.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "counter-fold",
  summary: "per-CPU deltas of a zone counter are folded into its total; none may be lost",
  cpus: 2,
  memory: "2MiB",
  mutants: ["vmstat-fold-lost"],
};

const ITEM = ZoneStat.nr_mlock;
/** Well above any threshold of so small a zone: every addition folds. */
const DELTA = 1000;
const TIMES = 3;

export function run({ pages, cpu }: Kernel): void {
  const [zone] = pages.frames.populatedZones();
  for (let i = 0; i < TIMES; i++) {
    const flags = cpu.irqSave();
    pages.vmstat.modZone(zone, ITEM, DELTA);
    cpu.irqRestore(flags);
    cpu.endOperation();
  }
}

export function check({ pages, cpus }: Kernel): void {
  const [zone] = pages.frames.populatedZones();
  const total = pages.vmstat.zoneStateSnapshot(zone, ITEM);
  const expected = TIMES * DELTA * cpus;
  if (total !== expected) bug(`the counter is ${total}, ${cpus} CPUs added ${expected}`);
}
