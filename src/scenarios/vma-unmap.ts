/**
 * A CPU looks a VMA up and locks it as a fault does, without mmap_lock, while another unmaps it and maps one elsewhere, which
 * is likely to get the memory of the old.  Each VMA's lock must be its own, and free when all is done.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { VmFlag } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "vma-unmap",
  summary: "a VMA that goes while it is looked up is not given out again under the look-up",
  cpus: 2,
  mutants: ["vma-free-before-grace"],
};

const START = 2 ** 40;
const ELSEWHERE = START + 64 * PAGE_BYTES;
/** An even number: the VMA ends up where it began. */
const MOVES = 4;
const LOOKS = 6;

export function setup(kernel: Kernel): MmRef {
  const { processes } = kernel;
  processes.start();
  const mm = processes.spaces.make();
  processes.mmapLocks.writeLock(mm);
  map(kernel, mm, START);
  processes.mmapLocks.writeUnlock(mm);
  return mm;
}

export function attach({ regions }: Kernel, _options: object, mm: MmRef): void {
  regions.add("mm", mm, MmStruct);
}

export function run(kernel: Kernel, _options: object, mm: MmRef): void {
  const { mmapLocks, vmas } = kernel.processes;
  if (kernel.cpu.id === 0) {
    for (let i = 0; i < MOVES; i++) {
      mmapLocks.writeLock(mm);
      unmap(kernel, mm, i % 2 === 0 ? START : ELSEWHERE);
      map(kernel, mm, i % 2 === 0 ? ELSEWHERE : START);
      mmapLocks.writeUnlock(mm);
      kernel.cpu.endOperation();
    }
    return;
  }
  for (let i = 0; i < LOOKS; i++) {
    const area = mmapLocks.lockUnderRcu(mm, START);
    if (area !== 0) {
      if (vmas.startOf(area) !== START) bug(`cpu ${kernel.cpu.id} has locked a VMA at ${vmas.startOf(area)}`);
      mmapLocks.endRead(area);
    }
    kernel.cpu.endOperation();
  }
}

function unmap({ processes }: Kernel, mm: MmRef, start: number): void {
  const { vmas } = processes;
  const area = vmas.lookup(mm, start);
  const reserved = vmas.reserve(mm, start, start + PAGE_BYTES, 0);
  if (reserved === null) bug("no memory for a tree node");
  vmas.trees.commit(reserved);
  vmas.detach(area);
  vmas.free(area);
  vmas.countMaps(mm, -1);
}

function map({ processes }: Kernel, mm: MmRef, start: number): void {
  const { vmas } = processes;
  const range = { start, end: start + PAGE_BYTES, flags: VmFlag.READ, pgoff: start / PAGE_BYTES };
  const area = vmas.make(mm, range);
  if (area === 0 || vmas.link(mm, area) !== 0) bug("no memory for a VMA");
}

export function check({ processes }: Kernel, _options: object, _values: unknown, mm: MmRef): void {
  const { vmas } = processes;
  const starts = vmas.check(mm).map((area) => vmas.startOf(area));
  if (starts.join() !== `${START}`) bug(`VMAs start at ${starts.join()}`);
}
