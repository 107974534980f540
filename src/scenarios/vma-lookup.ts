/**
 * A CPU looks a VMA up and locks it as a fault does, without mmap_lock, while another moves its first page in and out.  While
 * the first CPU holds the VMA, its start and its page offset must fit.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { type MmRef, MmStruct, VmArea } from "../process/vm-area.ts";
import { VmFlag } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "vma-lookup",
  summary: "a VMA that is found and locked without mmap_lock stays as it is until it is let go",
  cpus: 2,
  mutants: ["vma-lock-no-recheck"],
};

const START = 2 ** 40;
const END = START + 4 * PAGE_BYTES;
/** An even number: the VMA ends up as it began. */
const MOVES = 6;
const LOOKS = 8;

export function setup({ processes }: Kernel): MmRef {
  const { mmapLocks, vmas, spaces } = processes;
  processes.start();
  const mm = spaces.make();
  mmapLocks.writeLock(mm);
  const area = vmas.make(mm, { start: START, end: END, flags: VmFlag.READ, pgoff: START / PAGE_BYTES });
  if (vmas.link(mm, area) !== 0) bug("no memory for a VMA");
  mmapLocks.writeUnlock(mm);
  return mm;
}

export function attach({ regions, processes }: Kernel, _options: object, mm: MmRef): void {
  regions.add("mm", mm, MmStruct);
  regions.add("vma", processes.vmas.lookup(mm, START), VmArea);
}

export function run(kernel: Kernel, _options: object, mm: MmRef): void {
  const { cpu, processes } = kernel;
  if (cpu.id === 0) for (let i = 0; i < MOVES; i++) move(kernel, mm);
  else
    for (let i = 0; i < LOOKS; i++) {
      const area = processes.mmapLocks.lockUnderRcu(mm, END - 1);
      if (area !== 0) {
        const [start, pgoff] = [processes.vmas.startOf(area), processes.vmas.pgoffOf(area)];
        if (start !== pgoff * PAGE_BYTES)
          bug(`cpu ${cpu.id} holds a VMA that starts at ${start} with page offset ${pgoff}`);
        processes.mmapLocks.endRead(area);
      }
      cpu.endOperation();
    }
}

function move({ cpu, processes }: Kernel, mm: MmRef): void {
  const { mmapLocks, vmas } = processes;
  mmapLocks.writeLock(mm);
  const area = vmas.lookup(mm, END - 1);
  mmapLocks.startWrite(area);
  vmas.moveBounds({ area, start: vmas.startOf(area) === START ? START + PAGE_BYTES : START, end: END });
  mmapLocks.writeUnlock(mm);
  cpu.endOperation();
}

export function check({ processes }: Kernel, _options: object, _values: unknown, mm: MmRef): void {
  processes.vmas.check(mm);
}
