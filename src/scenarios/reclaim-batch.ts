/**
 * One CPU reclaims a lazily freed page, with one flush for all that it unmaps, and uses the frame again; another has the page in
 * its TLB, reads it, and then unmaps it itself, where it finds nothing mapped any more.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { frameOf, PAGE_BYTES, type Pfn, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { Madvice } from "../process/madvise.ts";
import { MapFlag } from "../process/mmap.ts";
import { UserSignal } from "../process/user-signal.ts";
import { contextOf, type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "reclaim-batch",
  summary: "a page is reclaimed with a flush that is put off, while another CPU reads and unmaps it",
  cpus: 2,
  memory: "2MiB",
  mutants: ["reclaim-free-before-flush", "batched-pending-ignored"],
};

const PAGE = 2 ** 40;
/** In the same page table, which it keeps. */
const NEIGHBOUR = PAGE + 8 * PAGE_BYTES;
const OLD = 7;
const NEW = 9;
const READS = 2;
const GONE = -1;

interface Shared {
  readonly mm: MmRef;
  readonly pfn: Pfn;
  /** 1 once the reader has the page in its TLB. */
  readonly known: Pointer;
}

export function setup({ processes, paging, pages }: Kernel): Shared {
  processes.start();
  const mm = processes.spaces.make();
  for (const address of [PAGE, NEIGHBOUR]) {
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
    const request = {
      address,
      bytes: PAGE_BYTES,
      prot: Prot.READ | Prot.WRITE,
      flags,
      file: null,
      offset: 0,
    };
    if (processes.calls.mmap(mm, request) !== address) bug("no memory for a VMA");
  }
  processes.use(mm);
  for (const address of [PAGE, NEIGHBOUR]) paging.user.write(address, OLD);
  const { tables } = paging;
  const at = tables.pteOffsetMapLock(tables.pmdOffset(contextOf(mm), PAGE), PAGE);
  const pfn = tables.pte.pfnOf(tables.pte.get(at));
  tables.pteUnlock(at);
  if (processes.calls.madvise(mm, PAGE, PAGE_BYTES, Madvice.FREE) !== 0) bug("madvise(FREE) fails");
  processes.use(0);
  return { mm, pfn, known: pages.getZeroedPage(Gfp.KERNEL) };
}

export function attach({ regions }: Kernel, _options: object, { mm }: Shared): void {
  regions.add("mm", mm, MmStruct);
}

export function run(kernel: Kernel, _options: object, { mm, pfn, known }: Shared): void {
  const { cpu, memory, processes, pages } = kernel;
  if (cpu.id === 0) {
    memory.waitWhile(known, -1, 0);
    if (processes.reclaim.discard([pfn]) > 0) {
      const fresh = pages.allocPage(Gfp.KERNEL);
      if (fresh !== 0) {
        memory.write(frameOf(fresh), NEW);
        pages.freePage(fresh);
      }
    }
  } else {
    processes.use(mm);
    read(kernel);
    memory.store(known, 1);
    memory.wake(known);
    for (let i = 0; i < READS; i++) {
      const value = read(kernel);
      if (value !== OLD && value !== 0)
        bug(`cpu ${cpu.id} reads ${value} where ${OLD} was written, or nothing`);
    }
    if (processes.calls.munmap(mm, PAGE, PAGE_BYTES) !== 0) bug("munmap fails");
    const value = read(kernel);
    if (value !== GONE) bug(`cpu ${cpu.id} reads ${value} from what it has unmapped`);
    processes.use(0);
  }
  cpu.endOperation();
}

function read({ paging }: Kernel): number {
  try {
    return paging.user.read(PAGE);
  } catch (error) {
    if (!(error instanceof UserSignal)) throw error;
    return GONE;
  }
}
