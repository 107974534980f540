/**
 * Page tables that were cut off are freed only when nobody can be walking through them: their frames are collected in a
 * batch, which waits for a grace period.  A lockless walk is an RCU read section.
 *
 * A batch is a page.  Without memory for one, whoever frees the table waits for a grace period himself.
 *
 * Linux: mm/mmu_gather.c tlb_remove_table, tlb_table_flush, tlb_remove_table_one; MMU_GATHER_RCU_TABLE_FREE.
 * Differs: that last wait is for readers, not for interrupts on all CPUs, since sections here are no regions without
 * interrupts.
 */

import type { Memory } from "../../memory/memory.ts";
import { array, struct, word } from "../../memory/struct.ts";
import { type Pfn, type Pointer, pfnOf } from "../../memory/units.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import type { Rcu } from "../../sync/rcu.ts";
import { Gfp } from "../pages/gfp.ts";
import type { PageAllocator } from "../pages/page-allocator.ts";
import type { PageTables } from "../pgtable/page-tables.ts";

/** Tables that fit a page: as many as with pointers of 64 bits.  Linux: MAX_TABLE_BATCH. */
const MAX_TABLES = 509;
const TableBatch = struct("mmu_table_batch", {
  /** rcu_head. */
  next: word("holder", "pointer:rcu_head"),
  functionId: word("holder", "functionId"),
  count: word("holder", "counter"),
  unused: word("holder"),
  tables: array(MAX_TABLES, "holder", "pfn"),
});
const batchField = TableBatch;

export interface TableFreeParts {
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly tables: PageTables;
  readonly rcu: Rcu;
  readonly functions: Functions;
}

export class TableFree {
  declare private readonly memory: Memory;
  declare private readonly pages: PageAllocator;
  declare private readonly tables: PageTables;
  declare private readonly rcu: Rcu;
  declare private readonly rcuFunction: FunctionId;

  constructor(parts: TableFreeParts) {
    const { functions } = parts;
    this.memory = parts.memory;
    this.pages = parts.pages;
    this.tables = parts.tables;
    this.rcu = parts.rcu;
    this.rcuFunction = functions.register("tlb_remove_table_rcu", (_cpu, batch) => this.freeBatch(batch));
  }

  /** A new batch, or 0 without memory. */
  newBatch(): Pointer {
    const batch = this.pages.getFreePages(Gfp.NOWAIT, 0);
    if (batch !== 0) this.memory.write(batch + batchField.count, 0);
    return batch;
  }

  /** Adds a table; whether the batch is full. */
  add(batch: Pointer, table: Pfn): boolean {
    const { memory } = this;
    const count = memory.read(batch + batchField.count);
    memory.write(batch + batchField.tables + count, table);
    memory.write(batch + batchField.count, count + 1);
    return count + 1 === MAX_TABLES;
  }

  /** Frees a batch after a grace period.  The TLBs have been flushed. */
  free(batch: Pointer): void {
    this.rcu.call(batch, this.rcuFunction);
  }

  /** Frees one table that has found no batch.  The TLBs have been flushed.  Linux: tlb_remove_table_one.  @may-sleep */
  freeOne(table: Pfn): void {
    this.rcu.synchronize();
    this.tables.freeTable(table);
  }

  private freeBatch(batch: Pointer): void {
    const { memory, tables, pages } = this;
    const count = memory.read(batch + batchField.count);
    for (let i = 0; i < count; i++) tables.freeTable(memory.read(batch + batchField.tables + i));
    pages.freePage(pfnOf(batch));
  }
}
