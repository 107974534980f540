/**
 * One CPU unmaps a page; another, which has it in its TLB, maps a new one at the same address as soon as it can.  It must find zeros
 * there: until every CPU has forgotten the old page, nobody may map at its address.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "munmap-remap",
  summary: "a page is mapped where another CPU is unmapping one; what TLBs know of the old one is gone",
  cpus: 2,
  memory: "2MiB",
  mutants: ["munmap-flush-unlocked"],
};

const PAGE = 2 ** 40;
const OLD = 7;
const TRIES = 3;

interface Shared {
  readonly mm: MmRef;
  /** 1 once the second CPU has the page in its TLB. */
  readonly known: Pointer;
}

export function setup(kernel: Kernel): Shared {
  const { processes, paging, pages } = kernel;
  processes.start();
  const mm = processes.spaces.make();
  if (mapAt(kernel, mm) !== PAGE) bug("no memory for a VMA");
  processes.use(mm);
  paging.user.write(PAGE, OLD);
  processes.use(0);
  return { mm, known: pages.getZeroedPage(Gfp.KERNEL) };
}

export function attach({ regions }: Kernel, _options: object, { mm }: Shared): void {
  regions.add("mm", mm, MmStruct);
}

export function run(kernel: Kernel, _options: object, { mm, known }: Shared): void {
  const { cpu, memory, processes, paging } = kernel;
  if (cpu.id === 0) {
    memory.waitWhile(known, -1, 0);
    if (processes.calls.munmap(mm, PAGE, PAGE_BYTES) !== 0) bug("munmap fails");
  } else {
    processes.use(mm);
    paging.user.read(PAGE);
    memory.store(known, 1);
    memory.wake(known);
    for (let i = 0; i < TRIES; i++) {
      const found = mapAt(kernel, mm);
      const value = paging.user.read(found);
      if (value !== 0) bug(`cpu ${cpu.id} reads ${value} from what it has just mapped`);
      if (found === PAGE) break;
      if (processes.calls.munmap(mm, found, PAGE_BYTES) !== 0) bug("munmap fails");
    }
    processes.use(0);
  }
  cpu.endOperation();
}

/** There, if the place is free, else elsewhere. */
function mapAt({ processes }: Kernel, mm: MmRef): number {
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS;
  const prot = Prot.READ | Prot.WRITE;
  return processes.calls.mmap(mm, { address: PAGE, bytes: PAGE_BYTES, prot, flags, file: null, offset: 0 });
}
