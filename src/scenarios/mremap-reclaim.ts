/**
 * One CPU moves a page with mremap while another reads it at the old address, and as soon as the page can be found at the new
 * one takes it away there, as reclaim does, and uses its frame again.  The reader must not see what the frame holds then.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { frameOf, PAGE_BYTES, type Pfn, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { isPresent } from "../mm/pgtable/pte.ts";
import { MapFlag } from "../process/mmap.ts";
import { MremapFlag } from "../process/mremap.ts";
import { RssMember } from "../process/rss.ts";
import { UserSignal } from "../process/user-signal.ts";
import { contextOf, type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "mremap-reclaim",
  summary:
    "a page that mremap has moved is taken away at its new address; nobody reads it at the old one any more",
  cpus: 2,
  mutants: ["mremap-flush-late"],
};

const START = 2 ** 40;
const OLD = START;
/** In the same page table, and a neighbour keeps that alive. */
const NEW = START + 8 * PAGE_BYTES;
const NEIGHBOUR = START + 16 * PAGE_BYTES;
const VALUE = 7;
const OTHER = 9;
const TRIES = 3;

interface Shared {
  readonly mm: MmRef;
  /** 1 once the reader has the page in its TLB. */
  readonly known: Pointer;
}

export function setup({ processes, paging, pages }: Kernel): Shared {
  processes.start();
  const mm = processes.spaces.make();
  for (const address of [OLD, NEIGHBOUR]) {
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
  for (const address of [OLD, NEIGHBOUR]) paging.user.write(address, VALUE);
  processes.use(0);
  return { mm, known: pages.getZeroedPage(Gfp.KERNEL) };
}

export function attach({ regions }: Kernel, _options: object, { mm }: Shared): void {
  regions.add("mm", mm, MmStruct);
}

export function run(kernel: Kernel, _options: object, { mm, known }: Shared): void {
  const { cpu, memory, processes } = kernel;
  if (cpu.id === 0) {
    // It has not loaded the address space: the reader's TLB is the only one.
    memory.waitWhile(known, -1, 0);
    const flags = MremapFlag.MAYMOVE | MremapFlag.FIXED;
    const request = { address: OLD, oldBytes: PAGE_BYTES, newBytes: PAGE_BYTES, flags, to: NEW };
    if (processes.calls.mremap(mm, request) !== NEW) bug("mremap has not moved the page");
  } else {
    processes.use(mm);
    read(kernel);
    memory.store(known, 1);
    memory.wake(known);
    for (let i = 0; i < TRIES; i++) {
      takeAway(kernel, mm);
      read(kernel);
    }
    processes.use(0);
  }
  cpu.endOperation();
}

function read({ cpu, paging }: Kernel): void {
  try {
    const value = paging.user.read(OLD);
    if (value !== VALUE) bug(`cpu ${cpu.id} reads ${value} from a page that is not its program's any more`);
  } catch (error) {
    if (!(error instanceof UserSignal)) throw error;
  }
}

/** Unmaps the page at its new address by its entry alone, and uses the frame.  Linux: try_to_unmap_one. */
function takeAway({ paging, processes, pages, memory }: Kernel, mm: MmRef): void {
  const { tables, shootdown } = paging;
  const pmd = tables.pmdOffset(contextOf(mm), NEW);
  const at = pmd === 0 ? 0 : tables.pteOffsetMapLock(pmd, NEW);
  if (at === 0) return;
  let taken: Pfn = 0;
  if (isPresent(tables.pte.get(at))) {
    taken = tables.pte.pfnOf(tables.pte.take(at));
    shootdown.flushPage(contextOf(mm), NEW);
    processes.anonPages.unmap(taken);
    processes.rss.add(mm, RssMember.ANON, -1);
  }
  tables.pteUnlock(at);
  if (taken === 0) return;
  pages.putPage(taken);
  const fresh = pages.allocPage(Gfp.KERNEL);
  if (fresh === 0) return;
  memory.write(frameOf(fresh), OTHER);
  pages.freePage(fresh);
}
