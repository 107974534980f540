/**
 * A CPU looks a VMA up and locks it, with the lock of Linux 6.15, while another moves its start, and while its memory becomes a
 * VMA of another address space and of the first again: freed VMAs are given out anew at once.  While the first CPU holds the
 * VMA, it must be of the address space where it was found, and its bounds must fit.
 *
 * Freeing and making are reduced to what a look-up can see, so that they fit between two of its steps.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "../process/vm-area.ts";
import { VmFlag } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "vma-refcount",
  summary: "a VMA whose readers are counted stays as it is, and in its address space, until it is let go",
  cpus: 2,
  vmaLock: "6.18",
  mutants: ["vma-lock-no-recheck", "vma-refcount-no-owner-check", "vma-refcount-no-wait"],
};

const START = 2 ** 40;
const END = START + 4 * PAGE_BYTES;
/** An even number: the VMA ends up as it began. */
const MOVES = 4;
const LOOKS = 12;

interface Shared {
  readonly home: MmRef;
  readonly other: MmRef;
  readonly area: VmaRef;
  /** Takes its place meanwhile. */
  readonly stand: VmaRef;
}

export function setup({ processes }: Kernel): Shared {
  const { mmapLocks, vmas, spaces } = processes;
  processes.start();
  const [home, other] = [spaces.make(), spaces.make()];
  // With equal numbers of changes a VMA that goes from one to the other looks write-locked in both.
  for (let i = 0; i < 4 * MOVES; i++) {
    mmapLocks.writeLock(other);
    mmapLocks.writeUnlock(other);
  }
  mmapLocks.writeLock(home);
  const range = { start: START, end: END, flags: VmFlag.READ, pgoff: START / PAGE_BYTES };
  const [area, stand] = [vmas.make(home, range), vmas.make(home, range)];
  if (area === 0 || stand === 0 || vmas.link(home, area) !== 0) bug("no memory for a VMA");
  mmapLocks.writeUnlock(home);
  return { home, other, area, stand };
}

export function attach({ regions }: Kernel, _options: object, { home, other, area }: Shared): void {
  regions.add("home", home, MmStruct);
  regions.add("other", other, MmStruct);
  regions.add("vma", area, VmArea);
}

export function run(kernel: Kernel, _options: object, shared: Shared): void {
  if (kernel.cpu.id === 0) {
    for (let i = 0; i < MOVES; i++) {
      move(kernel, shared);
      move(kernel, shared);
      move(kernel, shared);
      reuse(kernel, shared);
    }
    return;
  }
  for (let i = 0; i < LOOKS; i++) look(kernel, shared);
}

/** As a fault does it, only slower between finding and locking. */
function look({ cpu, memory, rcu, processes }: Kernel, { home }: Shared): void {
  const { mmapLocks, vmas } = processes;
  rcu.readLock();
  const area = vmas.lookup(home, END - 1);
  vmas.lookup(home, END - 1);
  const isLocked = mmapLocks.startRead(home, area);
  rcu.readUnlock();
  if (isLocked) {
    const of = memory.read(area + VmArea.mm);
    if (of !== home) bug(`cpu ${cpu.id} has locked a VMA of the mm at word ${of}, it looked in ${home}`);
    const [start, pgoff] = [vmas.startOf(area), vmas.pgoffOf(area)];
    if (start !== pgoff * PAGE_BYTES)
      bug(`cpu ${cpu.id} holds a VMA that starts at ${start} with page offset ${pgoff}`);
    mmapLocks.endRead(area);
  }
  cpu.endOperation();
}

function move({ cpu, processes }: Kernel, { home, area }: Shared): void {
  const { mmapLocks, vmas } = processes;
  mmapLocks.writeLock(home);
  mmapLocks.startWrite(area);
  vmas.moveBounds({ area, start: vmas.startOf(area) === START ? START + PAGE_BYTES : START, end: END });
  mmapLocks.writeUnlock(home);
  cpu.endOperation();
}

/** The VMA is replaced by another, freed, given out as one of `other`, and the other way round. */
function reuse(kernel: Kernel, { home, other, area, stand }: Shared): void {
  const { cpu, memory, processes } = kernel;
  const { mmapLocks } = processes;
  mmapLocks.writeLock(home);
  mmapLocks.writeLock(other);
  mmapLocks.startWrite(stand);
  mmapLocks.attach(stand);
  put(kernel, home, stand);
  const become = (mm: MmRef): void => {
    mmapLocks.detach(area);
    memory.write(area + VmArea.mm, mm);
    memory.store(area + VmArea.lockSeq, memory.read(mm + MmStruct.lockSeq) - 1);
    mmapLocks.attach(area);
  };
  become(other);
  become(home);
  put(kernel, home, area);
  mmapLocks.detach(stand);
  mmapLocks.writeUnlock(other);
  mmapLocks.writeUnlock(home);
  cpu.endOperation();
}

function put({ processes }: Kernel, mm: MmRef, area: VmaRef): void {
  const { vmas } = processes;
  vmas.trees.commit(vmas.reserve(mm, START, END, area) ?? bug("no memory for a tree node"));
}

export function check({ processes }: Kernel, _options: object, _values: unknown, { home }: Shared): void {
  const count = processes.vmas.check(home).length;
  if (count !== 1) bug(`the address space has ${count} VMAs`);
}
