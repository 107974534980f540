/**
 * A CPU writes into a page of a file whose type is asked first, while another takes the page out of the file.  A page that has
 * left the file must not become writable in its mapping.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { Page } from "../mm/pages/page.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import type { InodeRef } from "../process/file-layout.ts";
import type { ScenarioDescription } from "./description.ts";
import { attach as attachFile, type FileScene, mapNewFile } from "./file-fault.ts";

export const describe: ScenarioDescription = {
  name: "file-mkwrite",
  summary: "a page is taken out of its file while a fault asks whether it may be written",
  cpus: 2,
  mutants: ["page-mkwrite-no-recheck"],
};

const START = 2 ** 40;
/** How long the other CPU waits for the fault. */
const LOOKS = 1500;

const register = ({ processes }: Kernel): number =>
  processes.files.types.register({ name: "asking", pageMkwrite: () => true, writePage: () => {} });

export function setup(kernel: Kernel): FileScene {
  const scene = mapNewFile(kernel, 1, register(kernel));
  if (kernel.processes.shmem.write(scene.file, 0, [1]) !== 1) bug("no memory for a page");
  return scene;
}

export function attach(kernel: Kernel, options: object, scene: FileScene): void {
  register(kernel);
  attachFile(kernel, options, scene);
}

export function run(kernel: Kernel, _options: object, { mm, file }: FileScene): void {
  const { cpu, paging, processes } = kernel;
  if (cpu.id === 0) takeOut(kernel, processes.files.inodeOf(file));
  else {
    processes.use(mm);
    paging.user.write(START, 1);
    processes.use(0);
  }
  cpu.endOperation();
}

/** As punching a hole does it with each page; begun when the fault is likely to have it. */
function takeOut({ memory, pages, processes }: Kernel, inode: InodeRef): void {
  const { cache, pageLocks, shmem } = processes;
  const pfn = cache.find(inode, 0);
  const flags = pages.frames.pageOf(pfn) + Page.flags;
  for (let i = 0; i < LOOKS && (memory.load(flags) & PageFlag.LOCKED) === 0; i++);
  pageLocks.lock(pfn);
  if (cache.inodeOf(pfn) !== inode) bug("the page has left the file by itself");
  shmem.takePage(inode, pfn);
}

export function check(kernel: Kernel): void {
  checkSpaces(kernel);
}
