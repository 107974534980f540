/**
 * Page tables at rest: P1 to P5 of mm/pgtable/page-tables, for every address space, and the machine's count of tables.
 */

import { ENTRY_WORDS, entryPfn, PteBit } from "../../hardware/page-table-entry.ts";
import { bug } from "../../memory/bug.ts";
import { checkedListLength } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, type Pfn } from "../../memory/units.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { NodeStat } from "../pages/counters.ts";
import { Page, PageType } from "../pages/page.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import { PageTablePage } from "../pages/page-overlays.ts";
import { MmContext, type MmRef, PgtableGlobals } from "../pgtable/mm-context.ts";
import type { PageTables } from "../pgtable/page-tables.ts";

const { PRESENT, PSE } = PteBit;
const MAX_CONTEXTS = 1 << 20;
const HALF_WORDS = FRAME_WORDS / 2;

/** Every address space with a top table but init_mm. */
export function contextsOf(tables: PageTables): MmRef[] {
  const { memory, globals } = tables;
  const head = globals + PgtableGlobals.list;
  checkedListLength(memory, head, "mmlist", MAX_CONTEXTS);
  const found: MmRef[] = [];
  for (let link = memory.read(head); link !== head; link = memory.read(link))
    found.push(link - MmContext.list);
  return found;
}

/** Returns how many tables there are. */
export function checkTables(tables: PageTables, nodes: number): number {
  const { memory, pages } = tables;
  const seen = new Set<Pfn>();
  for (const mm of contextsOf(tables)) {
    const before = seen.size;
    const pgd = memory.read(mm + MmContext.pgd);
    if (pgd === 0) bug(`address space ${mm} has no top table`);
    new TableWalk(pages, memory, mm, seen).table(pgd, tables.levels, HALF_WORDS);
    const kernel = frameOf(tables.kernel.rootPfn());
    if (memory.compare(frameOf(pgd) + HALF_WORDS, kernel + HALF_WORDS, HALF_WORDS) !== 0)
      bug(`the upper half of the top table of address space ${mm} is not the kernel's`);
    const bytes = (seen.size - before - 1) * PAGE_BYTES;
    const counted = memory.read(mm + MmContext.tableBytes);
    if (counted !== bytes) bug(`address space ${mm}: pgtables_bytes ${counted}, its tables are ${bytes}`);
    const pending = memory.read(mm + MmContext.tlbFlushPending);
    if (pending !== 0) bug(`address space ${mm}: tlb_flush_pending ${pending} at rest`);
    assertFree(memory, mm + MmContext.pageTableLock, `page_table_lock of address space ${mm}`);
  }
  let counted = 0;
  for (let node = 0; node < nodes; node++)
    counted += pages.vmstat.nodeStateSnapshot(pages.frames.nodeAt(node), NodeStat.nr_page_table_pages);
  if (counted !== seen.size) bug(`nr_page_table_pages is ${counted}, there are ${seen.size} page tables`);
  return seen.size;
}

class TableWalk {
  private readonly pages: PageAllocator;
  private readonly memory: Memory;
  private readonly mm: MmRef;
  private readonly seen: Set<Pfn>;

  constructor(pages: PageAllocator, memory: Memory, mm: MmRef, seen: Set<Pfn>) {
    this.pages = pages;
    this.memory = memory;
    this.mm = mm;
    this.seen = seen;
  }

  /** The first `words` words of a table and all below. */
  table(pfn: Pfn, level: number, words = FRAME_WORDS): void {
    const { pages, memory, mm, seen } = this;
    const name = `table of level ${level} in frame ${pfn}, of address space ${mm},`;
    if (seen.has(pfn)) bug(`${name} is linked twice`);
    seen.add(pfn);
    const page = pages.frames.pageOf(pfn);
    const type = memory.read(page + Page.type) & 0xff;
    if (type !== PageType.PAGE_TABLE) bug(`${name} has page type ${type}`);
    const references = memory.read(page + Page.refcount);
    if (references !== 1) bug(`${name} has ${references} references`);
    const owner = memory.read(page + PageTablePage.mm);
    if (owner !== mm) bug(`${name} says it is of address space ${owner}`);
    const own = memory.read(page + PageTablePage.level);
    if (own !== level) bug(`${name} says it is of level ${own}`);
    assertFree(memory, page + PageTablePage.lock, `the lock of ${name}`);
    const start = frameOf(pfn);
    for (let at = start; at < start + words; at += ENTRY_WORDS) {
      const low = memory.read(at);
      if ((low & PRESENT) === 0) continue;
      const below = entryPfn(low, memory.read(at + 1));
      if (level > 1 && (low & PSE) === 0) this.table(below, level - 1);
      else if (memory.read(pages.frames.pageOf(below) + Page.refcount) <= 0)
        bug(`${name} maps frame ${below}, which is free`);
    }
  }
}

function assertFree(memory: Memory, lock: number, name: string): void {
  const owner = memory.read(lock + SpinLock.owner);
  if (owner !== 0) bug(`${name} is held by cpu ${owner - 1} at rest`);
}
