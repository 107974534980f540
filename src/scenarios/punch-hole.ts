/**
 * A CPU reads a hole of a file while another punches that hole: a fault that begins during the punching waits for its end,
 * so that faults cannot put pages back for ever.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { Inode } from "../process/file-layout.ts";
import type { ScenarioDescription } from "./description.ts";
import { attach as attachFile, type FileScene, mapNewFile } from "./file-fault.ts";

export const describe: ScenarioDescription = {
  name: "punch-hole",
  summary: "a fault within a hole that is being punched waits until that is done",
  cpus: 2,
  mutants: ["punch-hole-no-wait"],
};

const START = 2 ** 40;
/** Nothing is there. */
const HOLES = 3;
/** And behind these what punching takes long for. */
const PAGES = 20;

export function setup(kernel: Kernel): FileScene {
  const scene = mapNewFile(kernel, PAGES);
  const { shmem } = kernel.processes;
  for (let page = HOLES; page < PAGES; page++)
    if (shmem.write(scene.file, page * PAGE_BYTES, [1]) !== 1) bug("no memory for a page");
  return scene;
}

export const attach = attachFile;

export function run(
  { cpu, memory, paging, processes }: Kernel,
  _options: object,
  { mm, file }: FileScene,
): void {
  const at = processes.files.inodeOf(file);
  if (cpu.id === 0) {
    if (processes.shmem.punchHole(file, 0, PAGES * PAGE_BYTES) !== 0) bug("no hole can be punched");
    cpu.endOperation();
    return;
  }
  processes.use(mm);
  for (let page = 0; page < HOLES; page++) {
    const before = memory.load(at + Inode.punchSequence);
    paging.user.read(START + page * PAGE_BYTES);
    const after = memory.load(at + Inode.punchSequence);
    if ((before & 1) !== 0 && before === after)
      bug(`cpu ${cpu.id} has put page ${page} into a hole in the making`);
    cpu.endOperation();
  }
  processes.use(0);
}

export function check(kernel: Kernel): void {
  checkSpaces(kernel);
}
