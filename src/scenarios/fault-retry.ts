/**
 * A CPU has a page of a file locked and wants to change the VMA that maps it; another faults on the page.  The fault may not
 * wait for the page with the lock of the VMA, or mmap_lock, in its hand.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import type { ScenarioDescription } from "./description.ts";
import { attach as attachFile, type FileScene, mapNewFile } from "./file-fault.ts";

export const describe: ScenarioDescription = {
  name: "fault-retry",
  summary: "a fault that must wait for a page gives its lock up, and begins anew",
  cpus: 2,
  mutants: ["fault-wait-keeps-lock"],
};

const START = 2 ** 40;

const register = ({ processes }: Kernel): number =>
  processes.files.types.register({ name: "read", readPage: () => true });

export function setup(kernel: Kernel): FileScene {
  const scene = mapNewFile(kernel, 1, register(kernel));
  if (kernel.processes.shmem.write(scene.file, 0, [7]) !== 1) bug("no memory for a page");
  return scene;
}

export function attach(kernel: Kernel, options: object, scene: FileScene): void {
  register(kernel);
  attachFile(kernel, options, scene);
}

export function run(
  { cpu, paging, pages, processes }: Kernel,
  _options: object,
  { mm, file }: FileScene,
): void {
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
