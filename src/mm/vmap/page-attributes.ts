/**
 * What the kernel may do at addresses of areas: a page loses the right to be written to, or to be executed, and gets it back.
 *
 * The rights change in the entries, by a compare-exchange of the low word or, for NX, by one store of the high one: a walk sees
 * the old entry or the new one.  When a function returns no CPU remembers more rights than there are.
 *
 * Linux: arch/x86/mm/pat/set_memory.c set_memory_ro and its kin, change_page_attr_set_clr.
 * Differs: pages of the vmalloc range only; the direct map's other mapping of a frame keeps its rights, and is not split.
 */

import { PTE_HIGH_NX, PteBit } from "../../hardware/page-table-entry.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import type { KernelFlush } from "./kernel-flush.ts";
import type { KernelTables } from "./kernel-tables.ts";
import { formatAddress } from "./vmalloc-space.ts";

const { PRESENT, RW } = PteBit;

export class PageAttributes {
  declare private readonly memory: Memory;
  declare private readonly tables: KernelTables;
  declare private readonly flush: KernelFlush;
  declare private readonly unmapAliases: () => void;

  constructor(memory: Memory, tables: KernelTables, flush: KernelFlush, unmapAliases: () => void) {
    this.memory = memory;
    this.tables = tables;
    this.flush = flush;
    this.unmapAliases = unmapAliases;
  }

  /** Linux: set_memory_ro. */
  readOnly(address: number, pages: number): void {
    this.change(address, pages, (entry) => this.changeLow(entry, RW, 0));
  }
  /** Linux: set_memory_rw. */
  writable(address: number, pages: number): void {
    this.change(address, pages, (entry) => this.changeLow(entry, 0, RW));
  }
  /** Linux: set_memory_x. */
  executable(address: number, pages: number): void {
    this.change(address, pages, (entry) => this.changeHigh(entry, 0));
  }
  /** Linux: set_memory_nx. */
  notExecutable(address: number, pages: number): void {
    this.change(address, pages, (entry) => this.changeHigh(entry, PTE_HIGH_NX));
  }

  /** Linux: change_page_attr_set_clr.  @may-sleep */
  private change(address: number, pages: number, change: (entry: Pointer) => boolean): void {
    const { memory, tables } = this;
    this.unmapAliases();
    let isChanged = false;
    for (let i = 0; i < pages; i++) {
      const entry = tables.leafEntry(address + i * PAGE_BYTES);
      if (entry === 0 || (memory.load(entry) & PRESENT) === 0)
        bug(`set_memory: nothing is mapped at ${formatAddress(address + i * PAGE_BYTES)}`);
      if (change(entry)) isChanged = true;
    }
    if (isChanged) this.flush.range(address, address + pages * PAGE_BYTES);
  }

  private changeLow(entry: Pointer, clear: number, add: number): boolean {
    const { memory } = this;
    for (let low = memory.load(entry); ; ) {
      const next = (low & ~clear) | add;
      if (next === low) return false;
      const found = memory.cas(entry, low, next);
      if (found === low) return true;
      low = found;
    }
  }

  private changeHigh(entry: Pointer, nx: number): boolean {
    const { memory } = this;
    const high = memory.read(entry + 1);
    const next = (high & ~PTE_HIGH_NX) | nx;
    if (next !== high) memory.write(entry + 1, next);
    return next !== high;
  }
}
