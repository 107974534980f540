/**
 * One CPU unmaps two pages and uses their frames again; another reads the first, which its TLB knows, and writes to the
 * second, which nobody has touched yet.  It finds its own pages or none, and no page comes to where nothing is mapped.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { frameOf, PAGE_BYTES } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { MapFlag } from "../process/mmap.ts";
import { UserSignal } from "../process/user-signal.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "munmap-fault",
  summary:
    "munmap while another CPU reads one of the pages and faults on the other; the frames are used again",
  cpus: 2,
  mutants: ["shootdown-free-before-flush", "vma-write-no-wait"],
};

const START = 2 ** 40;
const PAGES = 2;
const VALUE = 7;
const OTHER = 9;

export function setup({ processes, paging }: Kernel): MmRef {
  processes.start();
  const mm = processes.spaces.make();
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
  const bytes = PAGES * PAGE_BYTES;
  const request = { bytes, prot: Prot.READ | Prot.WRITE, flags, file: null, offset: 0 };
  if (processes.calls.mmap(mm, { address: START, ...request }) !== START) bug("no memory for a VMA");
  processes.use(mm);
  paging.user.write(START, VALUE);
  processes.use(0);
  return mm;
}

export function attach({ regions }: Kernel, _options: object, mm: MmRef): void {
  regions.add("mm", mm, MmStruct);
}

export function run(kernel: Kernel, _options: object, mm: MmRef): void {
  const { cpu, memory, pages, processes } = kernel;
  if (cpu.id === 0) {
    if (processes.calls.munmap(mm, START, PAGES * PAGE_BYTES) !== 0) bug("munmap fails");
    const fresh = pages.allocPage(Gfp.KERNEL);
    if (fresh !== 0) memory.write(frameOf(fresh), OTHER);
    cpu.endOperation();
    return;
  }
  processes.use(mm);
  read(kernel);
  unlessUnmapped(() => kernel.paging.user.write(START + PAGE_BYTES, VALUE));
  read(kernel);
  processes.use(0);
  cpu.endOperation();
}

function read({ cpu, paging }: Kernel): void {
  unlessUnmapped(() => {
    const value = paging.user.read(START);
    if (value !== VALUE) bug(`cpu ${cpu.id} reads ${value} from a page that is not its program's`);
  });
}

function unlessUnmapped(access: () => void): void {
  try {
    access();
  } catch (error) {
    if (!(error instanceof UserSignal) || error.code !== "MAPERR") throw error;
  }
}

export function check(kernel: Kernel): void {
  checkSpaces(kernel);
}
