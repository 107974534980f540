/**
 * Page tables of address spaces: real tables in frames of RAM, the only record of what is mapped.
 *
 * The upper half of every top table is the kernel's, copied when the table is made: the tables below it are shared, and the
 * kernel's top table never changes.
 * A table is made by whoever comes first: he looks without a lock, allocates, looks again under the lock of the table
 * above, and installs it or gives it back.
 *
 *   entries of the top table and of level 3   mm.page_table_lock
 *   entries of level 2                        the lock in that table's struct page
 *   entries of a page table                   the lock in its struct page; found through an entry that may change, so
 *                                             that entry is read again under the lock
 *
 * Invariants, at rest (check-tables tests them)
 *   P1  every table below the user's half is typed PAGE_TABLE, has one reference, and is linked from one entry
 *   P2  mm.tableBytes is the size of the user's tables but the top one
 *   P3  a present user entry names an allocated frame
 *   P4  no lock of a table is held
 *   P5  the kernel's half of every top table is the kernel's own
 *
 * Lock order: mm.page_table_lock -> level 2 -> page table.
 * Linux: mm/memory.c __p4d_alloc, __pud_alloc, __pmd_alloc, __pte_alloc, pmd_install; mm/pgtable-generic.c
 * __pte_offset_map_lock; arch/x86/mm/pgtable.c pgd_alloc, pgd_free.
 * Differs: locks are always split, whatever the number of CPUs; a table's lock is in its struct page always.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { entryHigh, entryLow, entryPfn, PteBit } from "../../hardware/page-table-entry.ts";
import { entryOffset, pageHigh, pageLow } from "../../hardware/page-walk.ts";
import type { ImageLayout, Slot } from "../../memory/image.ts";
import { listAddTail, listDelInit, listInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { wordsIn } from "../../memory/struct.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn, type Pointer, pfnOf } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import type { Rcu } from "../../sync/rcu.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { NodeStat } from "../pages/counters.ts";
import { Gfp, GfpFlag } from "../pages/gfp.ts";
import { PageType } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { PageTablePage } from "../pages/page-overlays.ts";
import { MmContext, type MmRef, PgtableGlobals } from "./mm-context.ts";
import { PteWords } from "./pte-words.ts";

const { PRESENT, RW, USER, ACCESSED, DIRTY, PSE } = PteBit;
/** Linux: _PAGE_TABLE. */
const TABLE_BITS = PRESENT | RW | USER | ACCESSED | DIRTY;
const mmField = MmContext;
const globalField = PgtableGlobals;
const tableField = PageTablePage;
const MM_CONTEXT_WORDS = wordsIn(MmContext);
const HALF_WORDS = FRAME_WORDS / 2;
const TABLE_GFP = Gfp.KERNEL | GfpFlag.ZERO;
/** A table is installed without another look under the lock. */
const noRecheck = mutant("pgtable-populate-no-recheck");
/** The entry above a page table is not read again under the table's lock. */
const noReread = mutant("pgtable-lock-no-reread");

export interface PageTableParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly pages: PageAllocator;
  readonly rcu: Rcu;
  readonly globals: Pointer;
  readonly kernel: KernelHalf;
  readonly levels: 4 | 5;
  /** Frees what an address space that ends has beside its tables.  Linux: destroy_context. */
  readonly destroyContext: (mm: MmRef) => void;
}

/** The kernel's own tables: mm/vmap. */
export interface KernelHalf {
  /** Makes them, if nobody has; false without memory.  @may-sleep */
  start(): boolean;
  /** Frame of the top table, or 0 while there is none. */
  rootPfn(): Pfn;
}

export class PageTables {
  declare readonly memory: Memory;
  declare readonly levels: 4 | 5;
  declare readonly pte: PteWords;
  declare readonly pages: PageAllocator;
  declare readonly globals: Pointer;
  declare private readonly locks: SpinLocks;
  declare private readonly rcu: Rcu;
  declare readonly kernel: KernelHalf;
  declare private readonly destroyContext: (mm: MmRef) => void;

  constructor(parts: PageTableParts) {
    const { memory } = parts.cpu;
    this.memory = memory;
    this.levels = parts.levels;
    this.pte = new PteWords(memory);
    this.pages = parts.pages;
    this.globals = parts.globals;
    this.locks = parts.locks;
    this.rcu = parts.rcu;
    this.kernel = parts.kernel;
    this.destroyContext = parts.destroyContext;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("pgtable_globals", PgtableGlobals);
  }

  /** First state of the machine's part, on the boot CPU. */
  format(initMm: MmRef): void {
    const { memory, globals, locks } = this;
    locks.format(globals + globalField.lock, LockClass.MM_LIST);
    listInit(memory, globals + globalField.list);
    this.formatContext(initMm);
  }

  // ---- address spaces ----

  /**
   * Makes an address space of an `mm_context`: a number that none has had, and a top table with the kernel's half.  False
   * without memory.  Linux: mm_init, init_new_context, pgd_alloc.
   * @may-sleep
   */
  initContext(mm: MmRef): boolean {
    const { memory, locks, globals, kernel } = this;
    const pgd = kernel.start() ? this.allocTable(mm, this.levels) : 0;
    if (pgd === 0) return false;
    memory.copy(frameOf(pgd) + HALF_WORDS, frameOf(kernel.rootPfn()) + HALF_WORDS, HALF_WORDS);
    this.formatContext(mm);
    memory.write(mm + mmField.pgd, pgd);
    locks.lock(globals + globalField.lock);
    listAddTail(memory, mm + mmField.list, globals + globalField.list);
    locks.unlock(globals + globalField.lock);
    return true;
  }

  /** Gives the top table back.  No CPU has it loaded, and the tables below it are gone.  Linux: pgd_free. */
  endContext(mm: MmRef): void {
    const { memory, locks, globals } = this;
    locks.lock(globals + globalField.lock);
    listDelInit(memory, mm + mmField.list);
    locks.unlock(globals + globalField.lock);
    this.destroyContext(mm);
    const pgd = memory.read(mm + mmField.pgd);
    memory.write(mm + mmField.pgd, 0);
    this.freeTable(pgd);
  }

  // ---- finding tables ----

  /** The entry of level 2 for an address, whether it is present or not; 0 when there is no table for it. */
  pmdOffset(mm: MmRef, address: number): Pointer {
    const { memory } = this;
    const low = pageLow(address);
    const high = pageHigh(address);
    let table = frameOf(memory.read(mm + mmField.pgd));
    for (let level: number = this.levels; level > 2; level--) {
      const at = table + entryOffset(low, high, level);
      const word = memory.load(at);
      if ((word & PRESENT) === 0 || (word & PSE) !== 0) return 0;
      table = frameOf(entryPfn(word, memory.read(at + 1)));
    }
    return table + entryOffset(low, high, 2);
  }

  /**
   * The entry of a page, with its table's lock held; 0 without a page table there.  `pmd` is what `pmdOffset` or `pmdAlloc`
   * has returned.  The table may be taken away until the lock is held, so the entry that names it is read again.
   * Linux: pte_offset_map_lock.
   * @takes page table lock
   */
  pteOffsetMapLock(pmd: Pointer, address: number): Pointer {
    const { memory, locks, rcu, pte } = this;
    reached("pgtable-lock-no-reread");
    for (;;) {
      rcu.readLock();
      const word = pte.read(pmd);
      if ((word & PRESENT) === 0 || (word & PSE) !== 0) {
        rcu.readUnlock();
        return 0;
      }
      const table = frameOf(pte.pfnOf(word));
      const lock = this.lockOf(table);
      locks.lock(lock);
      rcu.readUnlock();
      // Of hardware's bits only ACCESSED may have changed.
      if (noReread || ((memory.load(pmd) ^ word) & ~ACCESSED) === 0)
        return table + entryOffset(pageLow(address), 0, 1);
      locks.unlock(lock);
    }
  }

  /**
   * The low word of a page's entry at this moment, the high one in `pte.high`; both 0 when there is no page table.  Whoever
   * acts on it looks again under the lock.  Linux: pte_offset_map, ptep_get_lockless.
   */
  pteLockless(pmd: Pointer, address: number): number {
    const { rcu, pte } = this;
    rcu.readLock();
    const above = pte.read(pmd);
    let low = 0;
    if ((above & PRESENT) !== 0 && (above & PSE) === 0)
      low = pte.read(frameOf(pte.pfnOf(above)) + entryOffset(pageLow(address), 0, 1));
    else pte.high = 0;
    rcu.readUnlock();
    return low;
  }

  /** @holds page table lock.  Linux: pte_unmap_unlock. */
  pteUnlock(pte: Pointer): void {
    this.locks.unlock(this.lockOf(pte));
  }

  /** The lock of the table that an entry of level 1 or 2 lies in.  Linux: pte_lockptr, pmd_lockptr. */
  lockOf(entry: Pointer): Pointer {
    return this.pages.frames.pageOf(pfnOf(entry)) + tableField.lock;
  }

  /** The entry of level 2, its table's lock held.  Linux: pmd_lock. */
  pmdLock(pmd: Pointer): void {
    this.locks.lock(this.lockOf(pmd));
  }
  pmdUnlock(pmd: Pointer): void {
    this.locks.unlock(this.lockOf(pmd));
  }

  // ---- making tables ----

  /** The entry of level 2 for an address, with the tables above it made; 0 without memory.  Linux: pmd_alloc. */
  pmdAlloc(mm: MmRef, address: number): Pointer {
    const { memory } = this;
    const low = pageLow(address);
    const high = pageHigh(address);
    const lock = mm + mmField.pageTableLock;
    let table = frameOf(memory.read(mm + mmField.pgd));
    for (let level: number = this.levels; level > 2; level--) {
      const at = table + entryOffset(low, high, level);
      if ((memory.load(at) & PRESENT) === 0 && !this.populate(mm, at, level - 1, lock)) return 0;
      table = frameOf(entryPfn(memory.load(at), memory.read(at + 1)));
    }
    return table + entryOffset(low, high, 2);
  }

  /** Makes the page table below an entry of level 2; false without memory.  Linux: pte_alloc. */
  pteAlloc(mm: MmRef, pmd: Pointer): boolean {
    if ((this.memory.load(pmd) & PRESENT) !== 0) return true;
    return this.populate(mm, pmd, 1, this.lockOf(pmd));
  }

  /**
   * The entry of a page, its table made if needed and its lock held; 0 without memory, or under a page of 2 MiB.  A table
   * that is taken away meanwhile is made again.  Linux: pte_alloc_map_lock, whose caller tries again.
   */
  pteAllocMapLock(mm: MmRef, address: number): Pointer {
    const pmd = this.pmdAlloc(mm, address);
    return pmd === 0 ? 0 : this.pteMapLock(mm, pmd, address);
  }

  /** The same where `pmdAlloc` was before, and its table cannot go.  @takes page table lock */
  pteMapLock(mm: MmRef, pmd: Pointer, address: number): Pointer {
    for (;;) {
      if ((this.memory.load(pmd) & PSE) !== 0 || !this.pteAlloc(mm, pmd)) return 0;
      const at = this.pteOffsetMapLock(pmd, address);
      if (at !== 0) return at;
    }
  }

  /**
   * A frame for a table of `level`, zeroed, with its lock and its owner; 0 without memory.  Linux: pte_alloc_one,
   * pagetable_pte_ctor.
   * @may-sleep
   */
  allocTable(mm: MmRef, level: number): Pfn {
    const { memory, pages, locks } = this;
    const pfn = pages.allocPage(TABLE_GFP);
    if (pfn === 0) return 0;
    const page = pages.frames.pageOf(pfn);
    pages.setPageType(pfn, PageType.PAGE_TABLE);
    memory.write(page + tableField.mm, mm);
    memory.write(page + tableField.level, level);
    locks.format(page + tableField.lock, LockClass.SPLIT_PTE);
    this.countTable(pfn, 1);
    return pfn;
  }

  /** Gives a table's frame back, of which no CPU knows any more.  Linux: pagetable_dtor, pagetable_free. */
  freeTable(pfn: Pfn): void {
    this.countTable(pfn, -1);
    this.pages.setPageType(pfn, PageType.ALLOCATED);
    this.pages.freePage(pfn);
  }

  /** Takes away the table below an entry of level `level` + 1; its frame, which is the caller's.  Linux: pmd_clear. */
  detachTable(mm: MmRef, above: Pointer): Pfn {
    const { memory, pte } = this;
    const pfn = pte.pfnOf(pte.take(above));
    memory.add(mm + mmField.tableBytes, -PAGE_BYTES);
    return pfn;
  }

  /** Puts a new table of `level` below the entry at `at`, unless somebody else has done so.  Linux: pmd_install. */
  private populate(mm: MmRef, at: Pointer, level: number, lock: Pointer): boolean {
    const { memory, locks, pte } = this;
    const table = this.allocTable(mm, level);
    if (table === 0) return false;
    reached("pgtable-populate-no-recheck");
    locks.lock(lock);
    const isEmpty = noRecheck || (memory.load(at) & PRESENT) === 0;
    if (isEmpty) {
      memory.add(mm + mmField.tableBytes, PAGE_BYTES);
      pte.set(at, entryLow(table, TABLE_BITS), entryHigh(table, 0));
    }
    locks.unlock(lock);
    if (!isEmpty) this.freeTable(table);
    return true;
  }

  private formatContext(mm: MmRef): void {
    const { memory, locks, globals } = this;
    memory.fill(mm, MM_CONTEXT_WORDS, 0);
    memory.write(mm + mmField.ctxId, memory.add(globals + globalField.lastCtxId, 1) + 1);
    listInit(memory, mm + mmField.list);
    locks.format(mm + mmField.pageTableLock, LockClass.PAGE_TABLE);
  }

  private countTable(pfn: Pfn, count: number): void {
    const { frames, vmstat } = this.pages;
    const node = frames.nodeAt(frames.nodeOf(frames.pageOf(pfn)));
    vmstat.modNode(node, NodeStat.nr_page_table_pages, count);
  }
}
