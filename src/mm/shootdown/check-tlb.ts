/**
 * TLBs at rest: what each CPU remembers is what the tables say, as far as its generation goes.
 *
 *   T1  a slot's generation is not ahead of its address space's
 *   L1  a CPU that has an address space loaded and is not lazy is in its mask, and up to date
 *   S1  an entry of a slot that is up to date names the frame of the tables, with no more rights than they give
 *   S1  likewise for an entry of a global number, on every CPU
 *   G1  global numbers are in use by exactly those address spaces that have them, by one each
 *   G2  a CPU that has loaded an address space whose transition is over uses its global number
 *   S2  a page table that a CPU remembers for the loaded address space is one, even when the CPU is lazy
 */

import { entryPfn, PteBit } from "../../hardware/page-table-entry.ts";
import { entryOffset, RIGHT_NX } from "../../hardware/page-walk.ts";
import type { Tlb } from "../../hardware/tlb.ts";
import type { TlbEntry } from "../../hardware/tlb-entry.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { frameOf, type Pfn, type Pointer } from "../../memory/units.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import { Page, PageType } from "../pages/page.ts";
import { PageTablePage } from "../pages/page-overlays.ts";
import { genBefore, MmContext, type MmRef } from "../pgtable/mm-context.ts";
import type { PageTables } from "../pgtable/page-tables.ts";
import { contextsOf } from "./check-tables.ts";
import type { Paging } from "./paging.ts";
import { CpuTlbState, DYNAMIC_ASIDS, FIRST_GLOBAL_ASID, MM_SWITCHING, pcidOf } from "./tlb-state.ts";
import { BROADCASTS } from "./tlb-switch.ts";

const { PRESENT, PSE, RW, USER, DIRTY } = PteBit;
const state = CpuTlbState;
/** In the upper part of a page number: an address of the kernel's half, whose tables belong to no address space. */
const KERNEL_HALF = 1 << 13;

/** Returns how many entries were compared. */
export function checkTlbs(paging: Paging, tlb: Tlb, masks: CpuMasks): number {
  const { tables, slots } = paging;
  const { memory } = tables;
  const contexts = new Map(contextsOf(tables).map((mm) => [memory.read(mm + MmContext.ctxId), mm]));
  const globals = new Map<number, MmRef>();
  for (const mm of contexts.values()) {
    const asid = memory.read(mm + MmContext.globalAsid);
    if (asid !== 0 && globals.has(asid)) bug(`global ASID ${asid} has two address spaces`);
    if (asid !== 0) globals.set(asid, mm);
  }
  const used = paging.asids.inUse();
  if (used.length !== globals.size || used.some((asid) => !globals.has(asid)))
    bug(`global ASIDs ${used.join(", ")} are in use, address spaces have ${[...globals.keys()].join(", ")}`);
  let compared = 0;
  for (let cpu = 0; cpu < masks.cpus; cpu++) {
    const own = slots.cpus.of(cpu);
    const loaded = memory.read(own + state.loadedMm);
    if (loaded === MM_SWITCHING) bug(`cpu ${cpu}: switches address spaces at rest`);
    const check = new TlbCheck(tables, masks, cpu, tlb.of(cpu));
    if (loaded !== slots.initMm.address) check.loaded(own, loaded);
    for (const [asid, mm] of globals) compared += check.compareAll(mm, asid);
    for (let asid = 0; asid < DYNAMIC_ASIDS; asid++) {
      const mm = contexts.get(memory.read(own + state.ctxIds + asid));
      if (mm !== undefined) compared += check.slot(mm, asid, memory.read(own + state.tlbGens + asid));
    }
  }
  return compared;
}

class TlbCheck {
  private readonly tables: PageTables;
  private readonly memory: Memory;
  private readonly masks: CpuMasks;
  private readonly cpu: number;
  private readonly tlb: Tlb;

  constructor(tables: PageTables, masks: CpuMasks, cpu: number, tlb: Tlb) {
    this.tables = tables;
    this.memory = tables.memory;
    this.masks = masks;
    this.cpu = cpu;
    this.tlb = tlb;
  }

  /** L1, S2. */
  loaded(own: Pointer, mm: MmRef): void {
    const { memory, masks, cpu, tables, tlb } = this;
    const asid = memory.read(own + state.loadedAsid);
    const isGlobal = asid >= FIRST_GLOBAL_ASID;
    const mmGen = memory.read(mm + MmContext.tlbGen);
    const generation = isGlobal ? mmGen : memory.read(own + state.tlbGens + asid);
    const global = memory.read(mm + MmContext.globalAsid);
    const inTransition = memory.read(mm + MmContext.asidTransition) !== 0;
    if ((isGlobal || (global !== 0 && !inTransition)) && asid !== global)
      bug(`cpu ${cpu}: address space ${mm} is loaded as ASID ${asid}, its global one is ${global}`);
    if (memory.read(own + state.isLazy) === 0) {
      // A broadcast of reclaim's, for many address spaces, leaves generations alone.
      if (generation !== mmGen && !BROADCASTS)
        bug(`cpu ${cpu}: address space ${mm} is loaded at generation ${generation}, it is at ${mmGen}`);
      if (!masks.has(mm + MmContext.cpumask, cpu)) bug(`cpu ${cpu}: not in the mask of address space ${mm}`);
    }
    for (const { table, pcid, pageHigh } of tlb.tables.entries()) {
      if (pcid !== pcidOf(asid)) continue;
      const owner = (pageHigh & KERNEL_HALF) !== 0 ? 0 : mm;
      const page = tables.pages.frames.pageOf(table);
      const type = memory.read(page + Page.type) & 0xff;
      if (type !== PageType.PAGE_TABLE || memory.read(page + PageTablePage.mm) !== owner)
        bug(
          `cpu ${cpu}: remembers frame ${table} as a page table of address space ${owner}, which it is not`,
        );
    }
  }

  /** T1, S1. */
  slot(mm: MmRef, asid: number, generation: number): number {
    const { memory, cpu } = this;
    const mmGen = memory.read(mm + MmContext.tlbGen);
    if (genBefore(mmGen, generation))
      bug(`cpu ${cpu}: slot ${asid} is at generation ${generation}, address space ${mm} at ${mmGen}`);
    return generation === mmGen ? this.compareAll(mm, asid) : 0;
  }

  /** S1 of everything that is remembered under a number. */
  compareAll(mm: MmRef, asid: number): number {
    const { tlb } = this;
    const entries = tlb.entries().filter((entry) => !entry.isGlobal && entry.pcid === pcidOf(asid));
    for (const entry of entries) this.compare(mm, entry);
    return entries.length;
  }

  private compare(mm: MmRef, entry: TlbEntry): void {
    const { pfn, rights } = this.mapping(mm, entry);
    const where = `cpu ${this.cpu}: stale TLB entry for page 0x${(entry.pageHigh * 2 ** 31 + entry.pageLow).toString(16)} of address space ${mm}`;
    if (pfn === 0) bug(`${where}: frame ${entry.pfn}, nothing is mapped`);
    if (pfn !== entry.pfn) bug(`${where}: frame ${entry.pfn}, mapped is ${pfn}`);
    const more = entry.rights & ~rights & (RW | USER | DIRTY);
    if (more !== 0 || (rights & ~entry.rights & RIGHT_NX) !== 0)
      bug(`${where}: rights 0x${entry.rights.toString(16)}, the tables give 0x${rights.toString(16)}`);
  }

  /** What the tables say of an entry's first page; frame 0: nothing. */
  private mapping(mm: MmRef, { pageLow, pageHigh }: TlbEntry): { pfn: Pfn; rights: number } {
    const { memory, tables } = this;
    let table = frameOf(memory.read(mm + MmContext.pgd));
    let rights = RW | USER;
    for (let level: number = tables.levels; ; level--) {
      const at = table + entryOffset(pageLow, pageHigh, level);
      const low = memory.read(at);
      const high = memory.read(at + 1);
      if ((low & PRESENT) === 0) return { pfn: 0, rights: 0 };
      rights = (rights & low & (RW | USER)) | (rights & RIGHT_NX) | (high < 0 ? RIGHT_NX : 0);
      const pfn = entryPfn(low, high);
      if (level === 1 || (low & PSE) !== 0) {
        const inside = pageLow & ((1 << (9 * (level - 1))) - 1);
        return { pfn: pfn + inside, rights: rights | (low & DIRTY) };
      }
      table = frameOf(pfn);
    }
  }
}
