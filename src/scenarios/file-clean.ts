/**
 * A CPU cleans a file again and again, that is, writes its dirty page to where it is kept, while another writes into the page
 * through a mapping.  When both are done and the file is clean, what is kept is what the page contains.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { FRAME_WORDS, frameOf, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import type { ScenarioDescription } from "./description.ts";
import { attach as attachFile, type FileScene, mapNewFile } from "./file-fault.ts";

export const describe: ScenarioDescription = {
  name: "file-clean",
  summary: "a page of a file is written to where it is kept while a program writes into it: nothing is lost",
  cpus: 2,
  mutants: ["mkclean-no-flush"],
};

export const START = 2 ** 40;
const WRITES = 40;
const CLEANINGS = 3;

export interface Shared extends FileScene {
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
  const { pages } = kernel;
  const [kept, begun] = [pages.getZeroedPage(Gfp.KERNEL), pages.getZeroedPage(Gfp.KERNEL)];
  if (kept === 0 || begun === 0) bug("no memory for two pages");
  kernel.processes.start();
  return { ...mapNewFile(kernel, 1, register(kernel, kept)), kept, begun };
}

export function attach(kernel: Kernel, options: object, shared: Shared): void {
  register(kernel, shared.kept);
  attachFile(kernel, options, shared);
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
