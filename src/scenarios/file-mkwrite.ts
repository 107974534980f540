/**
 * A CPU writes into a page of a file whose type is asked first, while another takes the page out of the file.  A page that has
 * left the file must not become writable in its mapping.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { Page } from "../mm/pages/page.ts";
import { PageFlag } from "../mm/pages/page-flags.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { type FileRef, Inode, type InodeRef, OpenFile } from "../process/file-layout.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "file-mkwrite",
  summary: "a page is taken out of its file while a fault asks whether it may be written",
  cpus: 2,
  mutants: ["page-mkwrite-no-recheck"],
};

const START = 2 ** 40;
/** How long the other CPU waits for the fault. */
const LOOKS = 1500;

interface Shared {
  readonly mm: MmRef;
  readonly file: FileRef;
}

const register = ({ processes }: Kernel): number =>
  processes.files.types.register({ name: "asking", pageMkwrite: () => true, writePage: () => {} });

export function setup(kernel: Kernel): Shared {
  const { processes } = kernel;
  processes.start();
  const mm = processes.spaces.make();
  const file = processes.shmem.create(register(kernel));
  if (mm === 0 || file === 0 || processes.shmem.write(file, 0, [1]) !== 1) bug("no memory for a file");
  const mapped = processes.calls.mmap(mm, {
    address: START,
    bytes: PAGE_BYTES,
    prot: Prot.READ | Prot.WRITE,
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

export function run(kernel: Kernel, _options: object, { mm, file }: Shared): void {
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
