/**
 * One CPU writes through a mapping into a page that another takes out of the file, to put a new page elsewhere, most likely
 * the same frame: the write reaches the old page or a new one, never a page that has left the file or is in another place.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { Inode, OpenFile } from "../process/file-layout.ts";
import { MmStruct } from "../process/vm-area.ts";
import type { ScenarioDescription } from "./description.ts";
import { type FileScene, mapNewFile } from "./file-fault.ts";

export const describe: ScenarioDescription = {
  name: "file-punch",
  summary: "a fault on a page that is being taken out of its file maps that page only while it is the file's",
  cpus: 2,
  mutants: ["file-fault-no-recheck", "page-cache-no-recheck"],
};

const START = 2 ** 40;
const MARK = 77;

export function setup(kernel: Kernel): FileScene {
  const scene = mapNewFile(kernel, 2);
  if (kernel.processes.shmem.write(scene.file, 0, [1]) !== 1) bug("no memory for a page");
  return scene;
}

export function attach({ regions, memory }: Kernel, _options: object, { mm, file }: FileScene): void {
  regions.add("mm", mm, MmStruct);
  regions.add("file", file, OpenFile);
  regions.add("inode", memory.read(file + OpenFile.inode), Inode);
}

export function run({ cpu, paging, processes }: Kernel, _options: object, { mm, file }: FileScene): void {
  const { shmem } = processes;
  if (cpu.id === 0) {
    processes.use(mm);
    paging.user.write(START, MARK);
    processes.use(0);
  } else {
    shmem.punchHole(file, 0, PAGE_BYTES);
    shmem.write(file, PAGE_BYTES, [2]);
  }
  cpu.endOperation();
}

export function check(kernel: Kernel, _options: object, _values: unknown, { file }: FileScene): void {
  const { shmem } = kernel.processes;
  checkSpaces(kernel);
  const [first] = shmem.read(file, 0, 1);
  const [second] = shmem.read(file, PAGE_BYTES, 1);
  if (second !== 2) bug(`page 1 was written with 2 and has ${second}`);
  if (first !== 0 && first !== MARK) bug(`page 0 has ${first} after it was punched`);
}
