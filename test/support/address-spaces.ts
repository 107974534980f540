/** Address spaces for tests: a context in a frame of its own, pages mapped one by one. */

import { PteBit } from "../../src/hardware/page-table-entry.ts";
import type { Kernel } from "../../src/machine/kernel.ts";
import { frameOf, PAGE_BYTES, type Pfn, pfnOf } from "../../src/memory/units.ts";
import { Gfp } from "../../src/mm/pages/gfp.ts";
import { userEnd } from "../../src/mm/pgtable/address-range.ts";
import type { MmRef } from "../../src/mm/pgtable/mm-context.ts";
import { PageProt } from "../../src/mm/pgtable/pte.ts";
import { insertPage, zapRange } from "../../src/mm/shootdown/zap.ts";

/** An address in the middle of nowhere. */
export const BASE = 0x7f00_0040_0000;
export const { PRESENT, RW, USER, ACCESSED, DIRTY } = PteBit;

export class AddressSpace {
  readonly kernel: Kernel;
  readonly mm: MmRef;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.mm = frameOf(kernel.pages.allocPage(Gfp.KERNEL));
    if (!kernel.paging.tables.initContext(this.mm)) throw new Error("no memory for an address space");
  }

  /** Maps a new page whose first word is `value`; its frame. */
  map(address: number, value: number, bits: number = PageProt.WRITE): Pfn {
    const { pages, paging, memory } = this.kernel;
    const pfn = pages.allocPage(Gfp.KERNEL);
    memory.write(frameOf(pfn), value);
    const result = insertPage(paging.tables, this.mm, address, pfn, bits);
    if (result !== 0) throw new Error(`insertPage: ${result}`);
    return pfn;
  }

  /** Unmaps a range and waits for the flush. */
  unmap(start: number, end = start + PAGE_BYTES): void {
    const { paging } = this.kernel;
    const gather = paging.gather(this.mm);
    zapRange(paging.ranges, gather, start, end);
    gather.finish();
  }

  /** Unmaps everything, frees all tables and the context. */
  end(): void {
    const { paging, rcu, pages } = this.kernel;
    const top = userEnd(paging.tables.levels);
    const gather = paging.gather(this.mm, true);
    zapRange(paging.ranges, gather, 0, top);
    paging.ranges.freeTables(gather, 0, top, 0, Infinity);
    gather.finish();
    paging.shootdown.dropLazy(this.mm);
    paging.tables.endContext(this.mm);
    pages.freePage(pfnOf(this.mm));
    rcu.barrier();
  }
}
