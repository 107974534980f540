/**
 * A CPU has a page of a file locked and wants to change the VMA that maps it; another faults on the page.  The fault may not
 * wait for the page with the lock of the VMA, or mmap_lock, in its hand.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { type FileRef, Inode, OpenFile } from "../process/file-layout.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "fault-retry",
  summary: "a fault that must wait for a page gives its lock up, and begins anew",
  cpus: 2,
  mutants: ["fault-wait-keeps-lock"],
};

const START = 2 ** 40;

interface Shared {
  readonly mm: MmRef;
  readonly file: FileRef;
}

const register = ({ processes }: Kernel): number =>
  processes.files.types.register({ name: "read", readPage: () => true });

export function setup(kernel: Kernel): Shared {
  const { processes } = kernel;
  processes.start();
  const mm = processes.spaces.make();
  const file = processes.shmem.create(register(kernel));
  if (mm === 0 || file === 0 || processes.shmem.write(file, 0, [7]) !== 1) bug("no memory for a file");
  const mapped = processes.calls.mmap(mm, {
    address: START,
    bytes: PAGE_BYTES,
    prot: Prot.READ,
    flags: MapFlag.SHARED | MapFlag.FIXED,
    file: processes.files.describe(file),
    offset: 0,
  });
  if (mapped !== START) bug(`mmap of a file gives ${mapped}`);
  return { mm, file };
}

export function attach(kernel: Kernel, _options: object, { mm, file }: Shared): void {
  const { regions, memory } = kernel;
  register(kernel);
  regions.add("mm", mm, MmStruct);
  regions.add("file", file, OpenFile);
  regions.add("inode", memory.read(file + OpenFile.inode), Inode);
}

export function run({ cpu, paging, pages, processes }: Kernel, _options: object, { mm, file }: Shared): void {
  const { mmapLocks, vmas, cache, files, pageLocks } = processes;
  if (cpu.id === 0) {
    const pfn = cache.find(files.inodeOf(file), 0);
    pageLocks.lock(pfn);
    mmapLocks.writeLock(mm);
    mmapLocks.startWrite(vmas.lookup(mm, START));
    mmapLocks.writeUnlock(mm);
    pageLocks.unlock(pfn);
    pages.putPage(pfn);
  } else {
    processes.use(mm);
    const word = paging.user.read(START);
    if (word !== 7) bug(`the file begins with 7, its mapping with ${word}`);
    processes.use(0);
  }
  cpu.endOperation();
}

export function check(kernel: Kernel): void {
  checkSpaces(kernel);
}
