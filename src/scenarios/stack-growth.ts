/**
 * Two threads write below the same stack, one further than the other: each makes it grow unless the other has done so already,
 * and no write is lost.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { VmFlag } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "stack-growth",
  summary:
    "two threads make one stack grow, by different lengths: it ends at the lower place, and keeps both writes",
  cpus: 2,
  mutants: ["stack-growth-no-recheck"],
};

const TOP = 2 ** 40;
/** Where each CPU writes: below the stack's one page, not in order. */
const PLACES = [TOP - 4 * PAGE_BYTES, TOP - 2 * PAGE_BYTES];
const { READ, WRITE, MAYREAD, MAYWRITE, GROWSDOWN } = VmFlag;
const FLAGS = READ | WRITE | MAYREAD | MAYWRITE | GROWSDOWN;

export function setup({ processes, paging }: Kernel): MmRef {
  const { vmas, mmapLocks, spaces, accounting } = processes;
  processes.start();
  const mm = spaces.make();
  mmapLocks.writeLock(mm);
  const start = TOP - PAGE_BYTES;
  const area = vmas.make(mm, { start, end: TOP, flags: FLAGS, pgoff: start / PAGE_BYTES });
  if (area === 0 || vmas.link(mm, area) !== 0) bug("no memory for a VMA");
  accounting.count(mm, FLAGS, 1);
  mmapLocks.writeUnlock(mm);
  processes.use(mm);
  paging.user.write(start, 1);
  processes.use(0);
  return mm;
}

export function attach({ regions }: Kernel, _options: object, mm: MmRef): void {
  regions.add("mm", mm, MmStruct);
}

export function run({ cpu, paging, processes }: Kernel, _options: object, mm: MmRef): void {
  processes.use(mm);
  paging.user.write(PLACES[cpu.id], cpu.id + 1);
  processes.use(0);
  cpu.endOperation();
}

export function check(kernel: Kernel, _options: object, _values: unknown, mm: MmRef): void {
  const { processes, paging, cpus } = kernel;
  checkSpaces(kernel);
  const start = processes.vmas.startOf(processes.vmas.lookup(mm, TOP - 1));
  if (start !== PLACES[0])
    bug(`the stack begins at 0x${start.toString(16)}, not 0x${PLACES[0].toString(16)}`);
  processes.use(mm);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const word = paging.user.read(PLACES[cpu]);
    if (word !== cpu + 1) bug(`cpu ${cpu} wrote ${cpu + 1}, there is ${word}`);
  }
  processes.use(0);
}
