/** Address spaces for tests: a context in a frame of its own, pages mapped one by one. */

import { PteBit } from "../../src/hardware/page-table-entry.ts";
import type { Kernel } from "../../src/machine/kernel.ts";
import { PAGE_BYTES, type Pfn } from "../../src/memory/units.ts";
import type { MmRef } from "../../src/mm/pgtable/mm-context.ts";
import { PageProt } from "../../src/mm/pgtable/pte.ts";
import { endSpace, mapPage, newSpace, unmapPages } from "../../src/mm/shootdown/bare-space.ts";

/** An address in the middle of nowhere. */
export const BASE = 0x7f00_0040_0000;
export const { PRESENT, RW, USER, ACCESSED, DIRTY } = PteBit;

export class AddressSpace {
  readonly kernel: Kernel;
  readonly mm: MmRef;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.mm = newSpace(kernel);
    if (this.mm === 0) throw new Error("no memory for an address space");
  }

  /** Maps a new page whose first word is `value`; its frame. */
  map(address: number, value: number, bits: number = PageProt.WRITE): Pfn {
    const pfn = mapPage(this.kernel, this.mm, address, value, bits);
    if (pfn === 0) throw new Error(`no page at ${address}`);
    return pfn;
  }

  /** Unmaps a range and waits for the flush. */
  unmap(start: number, end = start + PAGE_BYTES): void {
    unmapPages(this.kernel, this.mm, start, end);
  }

  /** Unmaps everything, frees all tables and the context. */
  end(): void {
    endSpace(this.kernel, this.mm);
  }
}
