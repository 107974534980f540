/** Two CPUs write into the same hole of a shared file: one page comes into the file, and no write is lost. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { type FileRef, Inode, OpenFile } from "../process/file-layout.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "file-fault",
  summary: "two CPUs' faults on one hole of a shared file: one page is put there, no write is lost",
  cpus: 2,
  mutants: ["page-cache-add-no-recheck"],
};

const START = 2 ** 40;

export interface FileScene {
  readonly mm: MmRef;
  readonly file: FileRef;
}

/** An address space that maps all of a file of so many pages, all holes, shared and writable. */
export function mapNewFile({ processes }: Kernel, pages: number, type = 0): FileScene {
  processes.start();
  const { shmem, files, spaces, calls } = processes;
  const mm = spaces.make();
  const file = shmem.create(type);
  if (mm === 0 || file === 0 || shmem.truncate(file, pages * PAGE_BYTES) !== 0) bug("no memory for a file");
  const mapped = calls.mmap(mm, {
    address: START,
    bytes: pages * PAGE_BYTES,
    prot: Prot.READ | Prot.WRITE,
    flags: MapFlag.SHARED | MapFlag.FIXED,
    file: files.describe(file),
    offset: 0,
  });
  if (mapped !== START) bug(`mmap of a file gives ${mapped}`);
  return { mm, file };
}

export const setup = (kernel: Kernel): FileScene => mapNewFile(kernel, 1);

export function attach({ regions, memory }: Kernel, _options: object, { mm, file }: FileScene): void {
  regions.add("mm", mm, MmStruct);
  regions.add("file", file, OpenFile);
  regions.add("inode", memory.read(file + OpenFile.inode), Inode);
}

export function run({ cpu, paging, processes }: Kernel, _options: object, { mm }: FileScene): void {
  processes.use(mm);
  paging.user.write(START + cpu.id * WORD_BYTES, cpu.id + 1);
  processes.use(0);
  cpu.endOperation();
}

export function check(kernel: Kernel, _options: object, _values: unknown, { mm, file }: FileScene): void {
  const { processes, paging, cpus } = kernel;
  checkSpaces(kernel);
  processes.use(mm);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const word = paging.user.read(START + cpu * WORD_BYTES);
    if (word !== cpu + 1) bug(`cpu ${cpu} wrote ${cpu + 1}, its mapping has ${word}`);
    const [byte] = processes.shmem.read(file, cpu * WORD_BYTES, 1);
    if (byte !== cpu + 1) bug(`cpu ${cpu} wrote ${cpu + 1}, the file has ${byte}`);
  }
  processes.use(0);
}
