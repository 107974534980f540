/**
 * The kernel's page tables: real tables in frames of RAM, the only record of what is mapped at kernel virtual addresses.
 *
 * The top table, the direct map, and for the vmalloc range the tables just below the top one are made together, before the
 * first address space or the first use of vmalloc: the top table's entries never change again, so that every address space's
 * copy of them is complete.  Lower tables of the vmalloc range are made as they are needed, by whoever comes first: he looks
 * without a lock, allocates, and looks again under page_table_lock before he installs.  Tables are never given back, as in Linux.
 *
 * A leaf entry belongs to whoever owns its area: it is written without a lock, high word first, present last.
 *
 * Invariants, at rest (check-kernel-tables tests them)
 *   T1  every table page is typed PAGE_TABLE and linked from one entry; `tablePages` counts them
 *   T2  a present leaf of the vmalloc range lies in a busy area and names an allocated frame
 *   T3  the direct map has every frame of memory once, at its own address, and nothing else
 *
 * Linux: mm/vmalloc.c vmap_small_pages_range_noflush, vunmap_range_noflush; mm/memory.c __pte_alloc_kernel, __pmd_alloc;
 * arch/x86/mm/init_64.c preallocate_vmalloc_pages, kernel_physical_mapping_init.
 */

import {
  ENTRY_WORDS,
  entryHigh,
  entryLow,
  entryPfn,
  PTE_HIGH_NX,
  PteBit,
} from "../../hardware/page-table-entry.ts";
import { entryOffset, pageHigh, pageLow } from "../../hardware/page-walk.ts";
import { bug } from "../../memory/bug.ts";
import { Errno } from "../../memory/errno.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { frameOf, PAGE_BYTES, type Pfn, type Pointer } from "../../memory/units.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { PageType } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { PageGlobals } from "../pages/page-globals.ts";
import { PageTablePage } from "../pages/page-overlays.ts";
import { eachDirectPage, virtualOfPfn } from "./direct-map.ts";
import { formatAddress, PGDIR_BYTES, PMD_BYTES, VMALLOC_START, vmallocBytes } from "./vmalloc-space.ts";
import { VmapGlobals } from "./vmap-globals.ts";

const { PRESENT, RW, ACCESSED, DIRTY, GLOBAL, PSE } = PteBit;
/** Linux: _KERNPG_TABLE. */
const TABLE_BITS = PRESENT | RW | ACCESSED | DIRTY;
/** Linux: PAGE_KERNEL, its low bits. */
const LEAF_BITS = PRESENT | RW | ACCESSED | DIRTY | GLOBAL;
/** Linux: PAGE_KERNEL_LARGE, its low bits beside those. */
const LARGE_BITS = LEAF_BITS | PSE;
const globalField = VmapGlobals;
/** A table is installed without another look under the lock. */
const noRecheck = mutant("vmap-populate-no-recheck");

/** Names the frames of a mapping, one after the other. */
export type FrameOf = (index: number) => Pfn;

export interface KernelTableParts {
  readonly memory: Memory;
  readonly locks: SpinLocks;
  readonly pages: PageAllocator;
  readonly globals: Pointer;
  readonly levels: 4 | 5;
  /** Where memory is. */
  readonly ranges: readonly { readonly startPfn: Pfn; readonly endPfn: Pfn }[];
}

export class KernelTables {
  declare readonly levels: 4 | 5;
  declare readonly ranges: KernelTableParts["ranges"];
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly pages: PageAllocator;
  declare private readonly globals: Pointer;
  declare private readonly lock: Pointer;

  constructor(parts: KernelTableParts) {
    this.levels = parts.levels;
    this.ranges = parts.ranges;
    this.memory = parts.memory;
    this.locks = parts.locks;
    this.pages = parts.pages;
    this.globals = parts.globals;
    this.lock = parts.globals + globalField.pageTableLock;
  }

  /** Frame of the top table; 0 before the first use. */
  rootPfn(): Pfn {
    return this.memory.read(this.globals + globalField.pgd);
  }

  /** Makes what all address spaces share, if nobody has; false, and nothing is left, without memory.  @may-sleep */
  start(): boolean {
    const { memory, locks, lock, globals } = this;
    const pgd = globals + globalField.pgd;
    if (memory.load(pgd) !== 0) return true;
    const made: Pfn[] = [];
    const root = this.build(made);
    locks.lock(lock);
    const isFirst = root !== 0 && memory.load(pgd) === 0;
    if (isFirst) {
      memory.write(globals + globalField.tablePages, made.length);
      memory.store(pgd, root);
    }
    locks.unlock(lock);
    if (!isFirst) for (const table of made) this.freeTable(table);
    return memory.load(pgd) !== 0;
  }

  /** The tables of a machine that has none, which nobody sees yet; the top one, or 0 without memory. */
  private build(made: Pfn[]): Pfn {
    const { memory, ranges, pages } = this;
    const root = this.newInto(made);
    if (root === 0) return 0;
    const total = memory.read(pages.frames.globals + PageGlobals.totalRamPages);
    for (let at = 0; at < vmallocBytes(total); at += PGDIR_BYTES)
      if (this.buildDown(made, root, VMALLOC_START + at, 3) === 0) return 0;
    const mapPage = (pfn: Pfn, level: number): boolean => {
      const address = virtualOfPfn(pfn);
      const table = this.buildDown(made, root, address, level);
      if (table === 0) return false;
      const at = table + entryOffset(pageLow(address), pageHigh(address), level);
      memory.write(at + 1, entryHigh(pfn, PTE_HIGH_NX));
      memory.write(at, entryLow(pfn, level === 1 ? LEAF_BITS : LARGE_BITS));
      return true;
    };
    const isWhole = ranges.every(({ startPfn, endPfn }) => eachDirectPage(startPfn, endPfn, mapPage));
    return isWhole ? root : 0;
  }

  /** The table of `level` for an address, made with those above it; 0 without memory. */
  private buildDown(made: Pfn[], root: Pfn, address: number, level: number): Pointer {
    const { memory } = this;
    let table = frameOf(root);
    for (let above: number = this.levels; above > level; above--) {
      const at = table + entryOffset(pageLow(address), pageHigh(address), above);
      let pfn = entryPfn(memory.read(at), memory.read(at + 1));
      if (pfn === 0) {
        pfn = this.newInto(made);
        if (pfn === 0) return 0;
        memory.write(at + 1, entryHigh(pfn, 0));
        memory.write(at, entryLow(pfn, TABLE_BITS));
      }
      table = frameOf(pfn);
    }
    return table;
  }

  private newInto(made: Pfn[]): Pfn {
    const pfn = this.newTable();
    if (pfn !== 0) made.push(pfn);
    return pfn;
  }

  // ---- mapping ----

  /**
   * Maps `count` frames from `start` on; 0, or -ENOMEM with a part mapped.  The range belongs to the caller.
   * Linux: vmap_pages_range_noflush.
   */
  map(start: number, count: number, frame: FrameOf): number {
    const { memory } = this;
    for (let i = 0; i < count; ) {
      const address = start + i * PAGE_BYTES;
      const table = this.pageTable(address);
      if (table === 0) return -Errno.ENOMEM;
      const first = (address / PAGE_BYTES) & 511;
      const end = Math.min(count, i + 512 - first);
      for (let at = table + first * ENTRY_WORDS; i < end; i++, at += ENTRY_WORDS) {
        if (memory.load(at) !== 0) this.reportMapped(start + i * PAGE_BYTES);
        const pfn = frame(i);
        memory.write(at + 1, entryHigh(pfn, PTE_HIGH_NX));
        memory.store(at, entryLow(pfn, LEAF_BITS));
      }
    }
    return 0;
  }

  /** Clears every entry from `start` to `end`; TLBs keep what they know.  Linux: vunmap_range_noflush. */
  unmap(start: number, end: number): void {
    const { memory } = this;
    for (let address = start; address < end; ) {
      const stop = Math.min(end, Math.floor(address / PMD_BYTES) * PMD_BYTES + PMD_BYTES);
      let at = this.leafEntry(address);
      if (at === 0) address = stop;
      for (; address < stop; address += PAGE_BYTES, at += ENTRY_WORDS) {
        memory.exchange(at, 0);
        memory.write(at + 1, 0);
      }
    }
  }

  /** Where the leaf entry of a page is, or 0 when it has no page table. */
  leafEntry(address: number): Pointer {
    const { memory } = this;
    const low = pageLow(address);
    const high = pageHigh(address);
    let table = frameOf(this.rootPfn());
    for (let level: number = this.levels; level > 1; level--) {
      const at = table + entryOffset(low, high, level);
      const word = memory.load(at);
      if ((word & PRESENT) === 0) return 0;
      table = frameOf(entryPfn(word, memory.read(at + 1)));
    }
    return table + entryOffset(low, high, 1);
  }

  /** The page table of an address, made if there is none; 0 without memory. */
  private pageTable(address: number): Pointer {
    const low = pageLow(address);
    const high = pageHigh(address);
    let table = frameOf(this.rootPfn());
    for (let level: number = this.levels; level > 1 && table !== 0; level--)
      table = this.tableBelow(table + entryOffset(low, high, level));
    return table;
  }

  /** The table that an entry names, or a new one; 0 without memory.  @takes page_table_lock */
  private tableBelow(at: Pointer): Pointer {
    const { memory, locks, lock, globals } = this;
    if ((memory.load(at) & PRESENT) === 0) {
      let spare = this.newTable();
      if (spare === 0) return 0;
      reached("vmap-populate-no-recheck");
      locks.lock(lock);
      if (noRecheck || (memory.load(at) & PRESENT) === 0) {
        const count = globals + globalField.tablePages;
        memory.write(at + 1, entryHigh(spare, 0));
        memory.store(at, entryLow(spare, TABLE_BITS));
        memory.write(count, memory.read(count) + 1);
        spare = 0;
      }
      locks.unlock(lock);
      if (spare !== 0) this.freeTable(spare);
    }
    return frameOf(entryPfn(memory.load(at), memory.read(at + 1)));
  }

  private newTable(): Pfn {
    const pfn = this.pages.allocPage(Gfp.KERNEL | GfpFlag.ZERO);
    if (pfn === 0) return 0;
    this.pages.setPageType(pfn, PageType.PAGE_TABLE);
    // It belongs to no address space.
    this.memory.write(this.pages.frames.pageOf(pfn) + PageTablePage.mm, 0);
    return pfn;
  }

  private freeTable(pfn: Pfn): void {
    this.pages.setPageType(pfn, PageType.ALLOCATED);
    this.pages.freePage(pfn);
  }

  private reportMapped(address: number): never {
    bug(`vmap: ${formatAddress(address)} is mapped already`);
  }
}
