/**
 * An address space without VMAs: pages mapped and unmapped one by one, as workloads, scenarios and tests of tables and TLBs
 * want it.
 */

import type { Memory } from "../../memory/memory.ts";
import { frameOf, type Pfn, pfnOf } from "../../memory/units.ts";
import type { Rcu } from "../../sync/rcu.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { userEnd } from "../pgtable/address-range.ts";
import type { MmRef } from "../pgtable/mm-context.ts";
import { PageProt } from "../pgtable/pte.ts";
import type { Paging } from "./paging.ts";
import { UserFault } from "./user-access.ts";
import { insertPage, zapRange } from "./zap.ts";

/** What `look` returns where nothing is mapped. */
export const NOTHING = -1;

export interface SpaceParts {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly paging: Paging;
  readonly rcu: Rcu;
}

/** A new context in a frame of its own, or 0 without memory. */
export function newSpace({ pages, paging }: SpaceParts): MmRef {
  const pfn = pages.allocPage(Gfp.KERNEL);
  if (pfn !== 0 && paging.tables.initContext(frameOf(pfn))) return frameOf(pfn);
  if (pfn !== 0) pages.freePage(pfn);
  return 0;
}

/** Maps a zeroed page whose first word is `value`; its frame, or 0 without memory or where a page is mapped. */
export function mapPage(
  parts: SpaceParts,
  mm: MmRef,
  address: number,
  value: number,
  bits: number = PageProt.WRITE,
): Pfn {
  const { pages, paging, memory } = parts;
  const pfn = pages.allocPage(Gfp.KERNEL | GfpFlag.ZERO);
  if (pfn === 0) return 0;
  memory.write(frameOf(pfn), value);
  if (insertPage(paging.tables, mm, address, pfn, bits) === 0) return pfn;
  pages.freePage(pfn);
  return 0;
}

/** Unmaps a range; returns after all CPUs have forgotten it. */
export function unmapPages({ paging }: SpaceParts, mm: MmRef, start: number, end: number): void {
  const gather = paging.gather(mm);
  zapRange(paging.ranges, gather, start, end);
  gather.finish();
}

/** Unmaps everything, frees the tables and the context.  No program has it loaded.  @may-sleep */
export function endSpace({ paging, pages, rcu }: SpaceParts, mm: MmRef): void {
  const top = userEnd(paging.tables.levels);
  const gather = paging.gather(mm, true);
  zapRange(paging.ranges, gather, 0, top);
  paging.ranges.freeTables(gather, 0, top, 0, Infinity);
  gather.finish();
  paging.shootdown.dropLazy(mm);
  paging.tables.endContext(mm);
  pages.freePage(pfnOf(mm));
  rcu.barrier();
}

/** The word at an address as a program sees it, or NOTHING. */
export function look({ paging }: SpaceParts, address: number): number {
  try {
    return paging.user.read(address);
  } catch (error) {
    if (error instanceof UserFault) return NOTHING;
    throw error;
  }
}
