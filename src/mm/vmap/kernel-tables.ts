/**
 * The kernel's page tables, as far as the vmalloc range: real tables in frames of RAM, the only record of what is mapped.
 *
 * The top table and the tables just below it are made when kernel virtual memory is first used, so that every address
 * space can share them; lower ones as they are needed, by whoever comes first: he looks without a lock, allocates, and
 * looks again under page_table_lock before he installs.  Tables are never given back, as in Linux.
 *
 * A leaf entry belongs to whoever owns its area: it is written without a lock, high word first, present last.
 *
 * Invariants, at rest (check-vmap tests them)
 *   T1  every table page is typed PAGE_TABLE and linked from one entry; `tablePages` counts them
 *   T2  a present leaf lies in a busy area and names an allocated frame
 *
 * Linux: mm/vmalloc.c vmap_small_pages_range_noflush, vunmap_range_noflush; mm/memory.c __pte_alloc_kernel, __pmd_alloc;
 * arch/x86/mm/init_64.c preallocate_vmalloc_pages.
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
import { formatAddress, PGDIR_BYTES, PMD_BYTES, VMALLOC_START } from "./vmalloc-space.ts";
import { VmapGlobals } from "./vmap-globals.ts";

const { PRESENT, RW, ACCESSED, DIRTY, GLOBAL } = PteBit;
/** Linux: _KERNPG_TABLE. */
const TABLE_BITS = PRESENT | RW | ACCESSED | DIRTY;
/** Linux: PAGE_KERNEL, its low bits. */
const LEAF_BITS = PRESENT | RW | ACCESSED | DIRTY | GLOBAL;
const LEVELS = 4;
const globalField = VmapGlobals;
/** A table is installed without another look under the lock. */
const noRecheck = mutant("vmap-populate-no-recheck");

/** Names the frames of a mapping, one after the other. */
export type FrameOf = (index: number) => Pfn;

export class KernelTables {
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly pages: PageAllocator;
  declare private readonly globals: Pointer;
  declare private readonly lock: Pointer;

  constructor(parts: { memory: Memory; locks: SpinLocks; pages: PageAllocator; globals: Pointer }) {
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

  /**
   * Makes the top table and the tables of `topEntries` entries of the range; false, and nothing is left, without memory.
   * Linux: preallocate_vmalloc_pages.
   */
  format(topEntries: number): boolean {
    const { memory, pages, globals } = this;
    const root = this.newTable();
    if (root === 0) return false;
    memory.write(globals + globalField.pgd, root);
    memory.write(globals + globalField.tablePages, 1);
    for (let i = 0; i < topEntries; i++) {
      if (this.tableBelow(this.topEntry(VMALLOC_START + i * PGDIR_BYTES)) !== 0) continue;
      for (let made = 0; made < i; made++) {
        const at = this.topEntry(VMALLOC_START + made * PGDIR_BYTES);
        this.freeTable(entryPfn(memory.read(at), memory.read(at + 1)));
      }
      this.freeTable(root);
      memory.write(globals + globalField.pgd, 0);
      memory.write(globals + globalField.tablePages, 0);
      return false;
    }
    pages.setPageType(root, PageType.PAGE_TABLE);
    return true;
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
    for (let level = LEVELS; level > 1; level--) {
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
    for (let level = LEVELS; level > 1 && table !== 0; level--)
      table = this.tableBelow(table + entryOffset(low, high, level));
    return table;
  }

  private topEntry(address: number): Pointer {
    return frameOf(this.rootPfn()) + entryOffset(pageLow(address), pageHigh(address), LEVELS);
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
    if (pfn !== 0) this.pages.setPageType(pfn, PageType.PAGE_TABLE);
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
