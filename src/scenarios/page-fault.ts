/**
 * Two CPUs of one address space write into the same new page, and into one that was only read so far: of two faults on a page
 * one wins, and no write is lost.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { VmFlag } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "page-fault",
  summary: "two CPUs' faults on one page: one page is installed, no write is lost, the other page goes back",
  cpus: 2,
  mutants: ["anon-fault-no-recheck", "cow-no-recheck"],
};

const START = 2 ** 40;
/** The first was never touched, the second was read: there is the page of zeros. */
const PAGES = [START, START + PAGE_BYTES];
const FLAGS = VmFlag.READ | VmFlag.WRITE | VmFlag.MAYREAD | VmFlag.MAYWRITE;

export function setup({ processes, paging }: Kernel): MmRef {
  const { vmas, mmapLocks, spaces, accounting } = processes;
  processes.start();
  const mm = spaces.make();
  mmapLocks.writeLock(mm);
  const area = vmas.make(mm, {
    start: START,
    end: START + 2 * PAGE_BYTES,
    flags: FLAGS,
    pgoff: START / PAGE_BYTES,
  });
  if (vmas.link(mm, area) !== 0) bug("no memory for a VMA");
  accounting.count(mm, FLAGS, 2);
  mmapLocks.writeUnlock(mm);
  processes.use(mm);
  paging.user.read(PAGES[1]);
  processes.use(0);
  return mm;
}

export function attach({ regions }: Kernel, _options: object, mm: MmRef): void {
  regions.add("mm", mm, MmStruct);
}

export function run({ cpu, paging, processes }: Kernel, _options: object, mm: MmRef): void {
  processes.use(mm);
  for (const page of PAGES) paging.user.write(page + cpu.id * WORD_BYTES, cpu.id + 1);
  processes.use(0);
  cpu.endOperation();
}

export function check(kernel: Kernel, _options: object, _values: unknown, mm: MmRef): void {
  const { processes, paging, cpus } = kernel;
  checkSpaces(kernel);
  processes.use(mm);
  for (const page of PAGES)
    for (let cpu = 0; cpu < cpus; cpu++) {
      const word = paging.user.read(page + cpu * WORD_BYTES);
      if (word !== cpu + 1) bug(`cpu ${cpu} wrote ${cpu + 1} at 0x${page.toString(16)}, there is ${word}`);
    }
  processes.use(0);
}
