/** Two processes map a page of a file and lock it, each on its own CPU: the page counts two locks, and one less when one lets go. */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { Page } from "../mm/pages/page.ts";
import { FilePage } from "../mm/pages/page-overlays.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import type { FileRef } from "../process/file-layout.ts";
import { MapFlag } from "../process/mmap.ts";
import type { MmRef } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "mlock-count",
  summary: "two CPUs lock one page in two address spaces: it is locked twice, and once less when one lets go",
  cpus: 2,
  memory: "2MiB",
  mutants: ["mlock-count-unlocked"],
};

const START = 2 ** 40;

interface Shared {
  readonly file: FileRef;
  readonly spaces: readonly MmRef[];
}

export function setup({ processes, paging, cpus }: Kernel): Shared {
  processes.start();
  const { shmem, files, calls } = processes;
  const file = shmem.create();
  if (file === 0 || shmem.truncate(file, PAGE_BYTES) !== 0) bug("no memory for a file");
  const spaces = Array.from({ length: cpus }, () => {
    const mm = processes.spaces.make();
    if (mm === 0) bug("no memory for an address space");
    const mapped = calls.mmap(mm, {
      address: START,
      bytes: PAGE_BYTES,
      prot: Prot.READ,
      flags: MapFlag.SHARED | MapFlag.FIXED,
      file: files.describe(file),
      offset: 0,
    });
    if (mapped !== START) bug(`mmap of a file gives ${mapped}`);
    processes.use(mm);
    paging.user.read(START);
    processes.use(0);
    return mm;
  });
  return { file, spaces };
}

export function attach({ regions, pages }: Kernel): void {
  regions.add("mem_map", pages.frames.pageOf(0), Page);
}

export function run({ cpu, processes }: Kernel, _options: object, { spaces }: Shared): void {
  const { locking } = processes.calls;
  const mm = spaces[cpu.id];
  const error = locking.mlock(mm, START, PAGE_BYTES);
  if (error !== 0) bug(`cpu ${cpu.id} cannot lock a page: ${error}`);
  cpu.endOperation();
}

export function check(kernel: Kernel, _options: object, _values: unknown, { file, spaces }: Shared): void {
  const { memory, pages, processes } = kernel;
  checkSpaces(kernel);
  const pfn = processes.cache.find(processes.files.inodeOf(file), 0);
  pages.putPage(pfn);
  const count = memory.read(pages.frames.pageOf(pfn) + FilePage.mlockCount);
  if (count !== spaces.length) bug(`the page is locked ${count} times, ${spaces.length} VMAs lock it`);
  processes.calls.locking.munlock(spaces[0], START, PAGE_BYTES);
  checkSpaces(kernel);
  const left = memory.read(pages.frames.pageOf(pfn) + FilePage.mlockCount);
  if (left !== spaces.length - 1) bug(`the page is locked ${left} times, ${spaces.length - 1} VMAs lock it`);
}
