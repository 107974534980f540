/**
 * A CPU cleans a file again and again, that is, writes its dirty page to where it is kept, while another writes into the page
 * through a mapping.  When both are done and the file is clean, what is kept is what the page contains.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { type FileRef, Inode, OpenFile } from "../process/file-layout.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "file-clean",
  summary: "a page of a file is written to where it is kept while a program writes into it: nothing is lost",
  cpus: 2,
  mutants: ["mkclean-no-flush"],
};

export const START = 2 ** 40;
const WRITES = 40;
const CLEANINGS = 3;

export interface Shared {
  readonly mm: MmRef;
  readonly file: FileRef;
  /** Where the page is kept: a frame. */
  readonly kept: Pointer;
  /** 1 once the first write is done. */
  readonly begun: Pointer;
}

/** A type of files that are kept in `kept`. */
function register({ processes, memory }: Kernel, kept: Pointer): number {
  return processes.files.types.register({
    name: "kept",
    pageMkwrite: () => true,
    writePage: (_inode, _index, pfn) => memory.copy(kept, frameOf(pfn), FRAME_WORDS),
  });
}

export function setup(kernel: Kernel): Shared {
  const { processes, pages } = kernel;
  processes.start();
  const kept = pages.getZeroedPage(Gfp.KERNEL);
  const begun = pages.getZeroedPage(Gfp.KERNEL);
  const mm = processes.spaces.make();
  const file = processes.shmem.create(register(kernel, kept));
  if (kept === 0 || begun === 0 || mm === 0 || file === 0 || processes.shmem.truncate(file, PAGE_BYTES) !== 0)
    bug("no memory for a file");
  const mapped = processes.calls.mmap(mm, {
    address: START,
    bytes: PAGE_BYTES,
    prot: Prot.READ | Prot.WRITE,
    flags: MapFlag.SHARED | MapFlag.FIXED,
    file: processes.files.describe(file),
    offset: 0,
  });
  if (mapped !== START) bug(`mmap of a file gives ${mapped}`);
  return { mm, file, kept, begun };
}

export function attach(kernel: Kernel, _options: object, { mm, file, kept }: Shared): void {
  const { regions, memory } = kernel;
  register(kernel, kept);
  regions.add("mm", mm, MmStruct);
  regions.add("file", file, OpenFile);
  regions.add("inode", memory.read(file + OpenFile.inode), Inode);
}

export function run(kernel: Kernel, _options: object, shared: Shared): void {
  if (kernel.cpu.id === 0) cleans(kernel, shared);
  else writes(kernel, shared);
}

/** Once the first write is done. */
export function cleans({ cpu, memory, processes }: Kernel, { file, begun }: Shared): void {
  memory.waitWhile(begun, -1, 0);
  for (let i = 0; i < CLEANINGS; i++) {
    processes.writes.clean(processes.files.inodeOf(file));
    cpu.endOperation();
  }
}

export function writes({ cpu, memory, paging, processes }: Kernel, { mm, begun }: Shared): void {
  processes.use(mm);
  for (let i = 1; i <= WRITES; i++) {
    paging.user.write(START + i * 4, i);
    if (i > 1) continue;
    memory.store(begun, 1);
    memory.wake(begun);
  }
  processes.use(0);
  cpu.endOperation();
}

export function check(kernel: Kernel, _options: object, _values: unknown, { mm, file, kept }: Shared): void {
  const { processes, paging, memory } = kernel;
  checkSpaces(kernel);
  processes.writes.clean(processes.files.inodeOf(file));
  processes.use(mm);
  for (let i = 1; i <= WRITES; i++) {
    const word = paging.user.read(START + i * 4);
    if (word !== i) bug(`cpu 1 wrote ${i}, its mapping has ${word}`);
    if (memory.read(kept + i) !== i) bug(`the page has ${i}, what is kept of it is ${memory.read(kept + i)}`);
  }
  processes.use(0);
}
