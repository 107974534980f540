/**
 * The stale-entry check on accesses: no CPU uses what it was to forget.
 *
 * A CPU that uses an address space must have caught up with every flush that somebody has waited for; the frame that it
 * reaches must not have been freed; and a page table that it remembers must still be one.  Beside that, what it does must be what
 * the tables allow, unless a flush for their change is still to come: until this CPU has answered, whoever made the change holds
 * the table's lock or counts in `tlb_flush_pending`.  What is found is reported with both sides: the entry and who holds it, the
 * flush and who made it.
 *
 * On with the shape's `checks` and in explore mode; elsewhere it costs nothing.  In explore mode the comparison with the tables is
 * left out: its accesses would be steps of every execution.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { PageFault, PteBit } from "../../hardware/page-table-entry.ts";
import { MAPPED, PageWalker, pageHigh, pageLow } from "../../hardware/page-walk.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import { type Pfn, type Pointer, pfnOf } from "../../memory/units.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import type { Frames } from "../pages/frames.ts";
import { Page, PageType } from "../pages/page.ts";
import { genBefore, MmContext, type MmRef } from "../pgtable/mm-context.ts";
import type { PageTables } from "../pgtable/page-tables.ts";
import type { TlbSwitch } from "./tlb-switch.ts";

const mmField = MmContext;
const pageField = Page;
const { WRITE } = PageFault;
const { RW } = PteBit;
/** Whether accesses are looked at. */
export const WATCHING = shape.checks || shape.mode === "explore";
/** Whether they are compared with the tables, too. */
export const COMPARING = shape.checks && shape.mode !== "explore";

export class StaleWatch {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly frames: Frames;
  declare private readonly tables: PageTables;
  declare private readonly walker: PageWalker;
  declare private readonly tlb: TlbSwitch;

  constructor(cpu: Cpu, tables: PageTables, tlb: TlbSwitch) {
    const { frames } = tables.pages;
    this.tables = tables;
    this.walker = new PageWalker(cpu.memory, tables.levels);
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.frames = frames;
    this.tlb = tlb;
  }

  /** All CPUs have answered to the flush `generation` of `mm`. */
  flushed(mm: MmRef, generation: number, start: number, end: number): void {
    if (!WATCHING) return;
    const { memory, cpu } = this;
    for (let seen = memory.load(mm + mmField.flushedGen); genBefore(seen, generation); ) {
      const found = memory.cas(mm + mmField.flushedGen, seen, generation);
      if (found === seen) {
        memory.write(mm + mmField.flushedBy, cpu.id + 1);
        memory.writeFloat64(mm + mmField.flushedStart, start);
        memory.writeFloat64(mm + mmField.flushedEnd, end);
        break;
      }
      seen = found;
    }
  }

  /** This CPU is about to use the word at `at`, which it has found for `address`, in the way of `access`. */
  accessed(address: number, at: Pointer, access: number): void {
    const { memory, tlb, frames } = this;
    const mm = tlb.loadedMm;
    if (mm === tlb.initMm) return;
    if (tlb.isLazy) this.report(address, pfnOf(at), "while no program has the address space");
    if (memory.load(frames.pageOf(pfnOf(at)) + pageField.refcount) <= 0)
      this.report(address, pfnOf(at), "which is free");
    const flushed = memory.load(mm + mmField.flushedGen);
    if (genBefore(tlb.localGen, flushed))
      this.report(address, pfnOf(at), `although flush ${flushed} is complete`);
    if (COMPARING && address >= 0) this.compare(mm, address, pfnOf(at), access);
  }

  /** What the TLB allows the tables must allow, or have allowed until just now. */
  private compare(mm: MmRef, address: number, pfn: Pfn, access: number): void {
    const { memory, walker, tables } = this;
    const isMapped = walker.look(memory.read(mm + mmField.pgd), address) === MAPPED;
    const entry = walker.entry;
    const low = memory.load(entry);
    const mapped = isMapped ? walker.pfn + (pageLow(address) & ((1 << (9 * (walker.level - 1))) - 1)) : 0;
    const isTaken = (access & WRITE) !== 0 && (low & RW) === 0;
    if (mapped === pfn && !isTaken) return;
    // Looked at after the entry: a change that is there now was made before, and its flush waits for this CPU.
    if (walker.level <= 2 && memory.load(tables.lockOf(entry) + SpinLock.owner) !== 0) return;
    if (memory.load(mm + mmField.tlbFlushPending) !== 0) return;
    const batch = memory.load(mm + mmField.tlbFlushBatched);
    if ((batch & 0x7fff) !== batch >> 16) return;
    const why =
      mapped === 0 ? "where nothing is mapped" : mapped === pfn ? "to write" : `where ${mapped} is mapped`;
    this.report(address, pfn, `${why} any more: permission was withdrawn, and no flush for it is under way`);
  }

  /** This CPU is about to walk for `address`: the page table that it remembers must still be one of its address space. */
  walks(address: number): void {
    const { memory, cpu, frames } = this;
    const at = cpu.tlb.tables.find(pageLow(address), pageHigh(address), cpu.tlb.pcid);
    if (at < 0) return;
    const table = cpu.tlb.tables.tableAt(at);
    const page = frames.pageOf(table);
    const isTable =
      memory.load(page + pageField.refcount) > 0 &&
      (memory.read(page + pageField.type) & 0xff) === PageType.PAGE_TABLE;
    if (!isTable) this.report(address, table, "as a page table, which is free");
  }

  private report(address: number, pfn: Pfn, why: string): never {
    const { memory, cpu, tlb } = this;
    const mm = tlb.loadedMm;
    const by = memory.read(mm + mmField.flushedBy);
    const range = `0x${memory.readFloat64(mm + mmField.flushedStart).toString(16)} to 0x${memory.readFloat64(mm + mmField.flushedEnd).toString(16)}`;
    bug(
      `stale TLB entry: cpu ${cpu.id} uses frame ${pfn} for address 0x${address.toString(16)} ${why}; it has slot ` +
        `${tlb.loadedAsid} (PCID ${cpu.tlb.pcid}) of address space ${memory.read(mm + mmField.ctxId)} at generation ` +
        `${tlb.localGen} of ${memory.load(mm + mmField.tlbGen)}${tlb.isLazy ? ", lazily" : ""}; ` +
        (by === 0 ? "nobody has flushed it" : `cpu ${by - 1} has flushed ${range} last`),
    );
  }
}
