/**
 * The MMU of one CPU: an access to a virtual address becomes one to a word of RAM, by the TLB or by a walk.
 *
 * Linux knows this as hardware; Intel SDM vol. 3A, 4.10.2 and 4.10.4.
 */

import type { Memory } from "../memory/memory.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn, type Pointer, pfnOf } from "../memory/units.ts";
import { PageFault, PteBit } from "./page-table-entry.ts";
import { isForbidden, MAPPED, PageWalker, pageHigh, pageLow } from "./page-walk.ts";
import type { Tlb } from "./tlb.ts";

const { WRITE, PROT } = PageFault;
const { DIRTY } = PteBit;
const WORD_MASK = FRAME_WORDS - 1;

/** Where a walk begins: the register CR3.  Read only when the TLB does not know the page. */
export interface PageTableBase {
  rootPfn(): Pfn;
}

export class Mmu {
  declare readonly tlb: Tlb;
  declare readonly walker: PageWalker;

  constructor(memory: Memory, tlb: Tlb, levels: 4 | 5 = 4) {
    this.tlb = tlb;
    this.walker = new PageWalker(memory, levels);
  }

  /**
   * The word at `address` for an access of kind `access` (WRITE, USER, INSTR), or the negated error code of the fault
   * minus 1.
   */
  translate(tables: PageTableBase, pcid: number, address: number, access: number): Pointer {
    const { tlb } = this;
    const low = pageLow(address);
    const high = pageHigh(address);
    const at = tlb.find(low, high, pcid);
    if (at >= 0) {
      const rights = tlb.rightsAt(at);
      if (isForbidden(rights, access)) {
        // The entry may be older than the tables: it is dropped, and who is told of the fault may try again.
        tlb.forget(low, high, pcid, true);
        return -1 - (access | PROT);
      }
      // The first write through an entry goes to the tables, to set the dirty bit there.
      if ((access & WRITE) === 0 || (rights & DIRTY) !== 0)
        return frameOf(tlb.pfnAt(at, low)) + ((address >> 2) & WORD_MASK);
    }
    return this.walk(tables, pcid, address, access, at >= 0);
  }

  private walk(
    tables: PageTableBase,
    pcid: number,
    address: number,
    access: number,
    hasEntry: boolean,
  ): Pointer {
    const { tlb, walker } = this;
    const low = pageLow(address);
    const high = pageHigh(address);
    const known = tlb.tables.find(low, high, pcid);
    const code =
      known < 0
        ? walker.walk(tables.rootPfn(), address, access)
        : walker.walkFrom(tlb.tables.tableAt(known), 1, tlb.tables.rightsAt(known), address, access);
    if (code !== MAPPED) {
      tlb.forget(low, high, pcid, hasEntry);
      return -1 - code;
    }
    if (known >= 0) tlb.countWalkCacheHit();
    else if (walker.level === 1) tlb.tables.insert(low, high, pcid, pfnOf(walker.entry), walker.upperRights);
    const first = walker.pfn & ~((1 << (9 * (walker.level - 1))) - 1);
    const at = tlb.insert(low, high, pcid, first, walker.level, walker.rights);
    return frameOf(tlb.pfnAt(at, low)) + ((address >> 2) & WORD_MASK);
  }
}

/** The error code in what `translate` returns for a fault. */
export const faultCode = (translated: Pointer): number => -1 - translated;

/** Bytes from `address` to the end of its page. */
export const bytesToPageEnd = (address: number): number => PAGE_BYTES - (address & (PAGE_BYTES - 1));
