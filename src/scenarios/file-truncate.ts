/**
 * One CPU brings a page of a file, as a fault does, while another cuts the file off, lets it grow again and puts a new page
 * elsewhere, most likely the same frame: a page that was found, and locked, is the file's and in its place, or there is none.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { type FileRef, Inode, OpenFile } from "../process/file-layout.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "file-truncate",
  summary: "a fault takes a page that is being cut off its file only while it is the file's",
  cpus: 2,
  mutants: ["file-fault-no-recheck", "page-cache-no-recheck"],
};

const ROUNDS = 3;

export function setup({ processes }: Kernel): FileRef {
  processes.start();
  const { shmem } = processes;
  const file = shmem.create();
  if (file === 0 || shmem.truncate(file, 2 * PAGE_BYTES) !== 0 || shmem.write(file, 0, [1]) !== 1)
    bug("no memory for a file");
  return file;
}

export function attach({ regions, memory }: Kernel, _options: object, file: FileRef): void {
  regions.add("file", file, OpenFile);
  regions.add("inode", memory.read(file + OpenFile.inode), Inode);
}

export function run({ cpu, processes }: Kernel, _options: object, file: FileRef): void {
  const { shmem } = processes;
  if (cpu.id === 0) for (let i = 0; i < ROUNDS; i++) bring(processes, processes.files.inodeOf(file));
  else {
    shmem.truncate(file, 0);
    shmem.truncate(file, 2 * PAGE_BYTES);
    shmem.write(file, PAGE_BYTES, [2]);
  }
  cpu.endOperation();
}

function bring({ shmem, cache }: Kernel["processes"], inode: number): void {
  const pfn = shmem.getPage(inode, 0, false);
  // Beyond the end of the file, for a moment.
  if (pfn < 0) return;
  if (cache.inodeOf(pfn) !== inode || cache.indexOf(pfn) !== 0)
    bug(`frame ${pfn} was found as page 0 of a file, and is not that`);
  shmem.release(pfn);
}

export function check(kernel: Kernel, _options: object, _values: unknown, file: FileRef): void {
  const { shmem } = kernel.processes;
  checkSpaces(kernel);
  const [added] = shmem.read(file, PAGE_BYTES, 1);
  if (added !== 2) bug(`page 1 was written with 2 and has ${added}`);
  const [first] = shmem.read(file, 0, 1);
  if (first !== 0) bug(`page 0 has ${first} after it was cut off`);
}
