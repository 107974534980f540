/** Two CPUs' first faults in one VMA: it must get one anon_vma, and what the slower one has made goes back. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { type MmRef, MmStruct, VmArea } from "../process/vm-area.ts";
import { VmFlag } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "anon-vma-prepare",
  summary: "two first faults in a VMA at once give it one anon_vma",
  cpus: 2,
  mutants: ["anon-vma-no-recheck"],
};

const START = 2 ** 40;

export function setup({ processes }: Kernel): MmRef {
  const { vmas, mmapLocks, spaces } = processes;
  processes.start();
  const mm = spaces.make();
  mmapLocks.writeLock(mm);
  const range = { start: START, end: START + PAGE_BYTES, flags: VmFlag.READ, pgoff: START / PAGE_BYTES };
  vmas.link(mm, vmas.make(mm, range));
  mmapLocks.writeUnlock(mm);
  return mm;
}

export function attach({ regions, processes }: Kernel, _options: object, mm: MmRef): void {
  regions.add("mm", mm, MmStruct);
  regions.add("vma", processes.vmas.lookup(mm, START), VmArea);
}

export function run({ cpu, processes }: Kernel, _options: object, mm: MmRef): void {
  const { vmas, anonVmas, mmapLocks, merge } = processes;
  mmapLocks.readLock(mm);
  const area = vmas.lookup(mm, START);
  if (!anonVmas.prepare(area, merge.reusableAnonVma(mm, area))) bug("no memory for an anon_vma");
  mmapLocks.readUnlock(mm);
  cpu.endOperation();
}

export function check({ memory, processes }: Kernel, _options: object, _values: unknown, mm: MmRef): void {
  const [area] = processes.vmas.check(mm);
  if (memory.load(area + VmArea.anonVma) === 0) bug("the VMA has no anon_vma");
}
