/**
 * The page tables of a child: its parent's entries, with every private page shared by both, and writable for neither.
 *
 * The parent's other CPUs may still remember that they may write: the caller flushes before anybody runs in the child.
 *
 * Lock order: the child's page table, then the parent's.
 * Linux: mm/memory.c copy_page_range, copy_pte_range, copy_present_ptes, vma_needs_copy.
 * Differs: the locks are held for a whole table; no page is pinned, so none must be copied at once.
 */

import { ENTRY_WORDS, PteBit } from "../hardware/page-table-entry.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import { isPresent, PteSoft } from "../mm/pgtable/pte.ts";
import type { TableRanges } from "../mm/pgtable/table-ranges.ts";
import type { AnonPages } from "./anon-pages.ts";
import type { FilePages } from "./file-pages.ts";
import { type Rss, RssMember } from "./rss.ts";
import { contextOf, type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const { RW, ACCESSED, DIRTY } = PteBit;
const { SHARED, MAYWRITE } = VmFlag;
/** The parent may go on writing into pages that are the child's, too. */
const leavesWritable = mutant("fork-no-write-protect");

export interface TableCopierParts {
  readonly ranges: TableRanges;
  readonly vmas: Vmas;
  readonly anonPages: AnonPages;
  readonly filePages: FilePages;
  readonly rss: Rss;
}

export class TableCopier {
  declare private readonly memory: Memory;
  declare private readonly tables: PageTables;
  declare private readonly parts: TableCopierParts;

  constructor(parts: TableCopierParts) {
    this.parts = parts;
    this.tables = parts.ranges.tables;
    this.memory = this.tables.memory;
  }

  /**
   * Gives `child` the entries of a VMA of `parent`; false when there is no memory for tables, and what was copied stays.
   * A VMA without anonymous pages, so any shared one, has nothing that a fault could not find again.
   * @holds mmap_lock of both, for writing
   */
  copy(child: MmRef, parent: MmRef, area: VmaRef): boolean {
    const { memory, parts } = this;
    if (memory.load(area + VmArea.anonVma) === 0) return true;
    const isCow = (parts.vmas.flagsOf(area) & (SHARED | MAYWRITE)) === MAYWRITE;
    const isShared = (parts.vmas.flagsOf(area) & SHARED) !== 0;
    let isEnough = true;
    const resident = new Map<number, number>();
    const [start, end] = [parts.vmas.startOf(area), parts.vmas.endOf(area)];
    parts.ranges.eachPmd(contextOf(parent), start, end, (pmd, first, last) => {
      if (!isEnough) return;
      const to = this.tables.pteAllocMapLock(contextOf(child), first);
      isEnough = to !== 0;
      const from = to === 0 ? 0 : this.tables.pteOffsetMapLock(pmd, first);
      if (from !== 0) {
        const count = (last - first) / PAGE_BYTES;
        for (let i = 0; i < count; i++) {
          const member = this.copyEntry(to + i * ENTRY_WORDS, from + i * ENTRY_WORDS, isCow, isShared);
          if (member >= 0) resident.set(member, (resident.get(member) ?? 0) + 1);
        }
        this.tables.pteUnlock(from);
      }
      if (to !== 0) this.tables.pteUnlock(to);
    });
    for (const [member, count] of resident) parts.rss.add(child, member, count);
    return isEnough;
  }

  /** What the child has got, an RssMember, or -1 for nothing that is counted.  Linux: copy_present_ptes. */
  private copyEntry(to: Pointer, from: Pointer, isCow: boolean, isShared: boolean): number {
    const { pte } = this.tables;
    const { anonPages, filePages } = this.parts;
    let low = pte.get(from);
    if (!isPresent(low)) return -1;
    const high = pte.high;
    const isResident = (low & PteSoft.SPECIAL) === 0;
    const pfn = pte.pfnOf(low);
    const isAnon = isResident && anonPages.isAnon(pfn);
    if (isAnon) anonPages.share(pfn);
    else if (isResident) filePages.share(pfn);
    reached("fork-no-write-protect");
    if (isCow && (low & RW) !== 0) low = (leavesWritable ? low : pte.change(from, RW, 0)) & ~RW;
    pte.set(to, low & ~(isShared ? ACCESSED | DIRTY : ACCESSED), high);
    if (!isResident) return -1;
    return isAnon ? RssMember.ANON : RssMember.SHMEM;
  }
}
