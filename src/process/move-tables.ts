/**
 * Moving page-table entries from one range of an address space to another, for mremap.
 *
 *   page tables    both tables' locks are held, the old one's first; what TLBs know of the old addresses is flushed before
 *                  they are dropped, for once the new entry can be found its page may be taken away and used again, and
 *                  that flush would name the new address only
 *   whole tables   where 2 MiB lie alike in both ranges and nothing is at the new place, the table itself moves
 *
 * Linux: mm/mremap.c move_page_tables, move_ptes, move_normal_pmd, take_rmap_locks.
 * Differs: ranges that end within a table are not widened.
 */

import { ENTRY_WORDS, PteBit } from "../hardware/page-table-entry.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { FRAME_WORDS, PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { PMD_BYTES, spanEnd } from "../mm/pgtable/address-range.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import { isPresent } from "../mm/pgtable/pte.ts";
import type { Shootdown } from "../mm/shootdown/shootdown.ts";
import type { UnmapBatch } from "../mm/shootdown/unmap-batch.ts";
import type { AnonVmas } from "./anon-vma.ts";
import type { Files } from "./files.ts";
import { contextOf, type MmRef, VmArea, type VmaRef } from "./vm-area.ts";

const { PRESENT } = PteBit;
/** The flush comes after the locks were dropped. */
const flushesLate = mutant("mremap-flush-late");

/** What is moved where. */
export interface TableMove {
  readonly mm: MmRef;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  /** Whose anon_vma's and file's locks keep out who looks the pages up meanwhile and would miss them; 0 where nobody can. */
  readonly rmapLocked: VmaRef;
}

export interface TableMoverParts {
  readonly tables: PageTables;
  readonly shootdown: Shootdown;
  readonly batch: UnmapBatch;
  readonly anonVmas: AnonVmas;
  readonly files: Files;
}

export class TableMover {
  declare private readonly memory: Memory;
  declare private readonly tables: PageTables;
  declare private readonly shootdown: Shootdown;
  declare private readonly batch: UnmapBatch;
  declare private readonly anonVmas: AnonVmas;
  declare private readonly files: Files;

  constructor(parts: TableMoverParts) {
    this.memory = parts.tables.memory;
    this.tables = parts.tables;
    this.shootdown = parts.shootdown;
    this.batch = parts.batch;
    this.anonVmas = parts.anonVmas;
    this.files = parts.files;
  }

  /** Bytes whose entries were moved: fewer than asked for when there is no memory for tables.  @holds mmap_lock */
  move(move: TableMove): number {
    const { tables } = this;
    const context = contextOf(move.mm);
    for (let done = 0; done < move.bytes; ) {
      const [from, to] = [move.from + done, move.to + done];
      const rest = move.bytes - done;
      const bytes = Math.min(
        spanEnd(from, from + rest, PMD_BYTES) - from,
        spanEnd(to, to + rest, PMD_BYTES) - to,
      );
      const oldPmd = tables.pmdOffset(context, from);
      if (oldPmd !== 0 && (this.memory.load(oldPmd) & PRESENT) !== 0) {
        const newPmd = tables.pmdAlloc(context, to);
        if (newPmd === 0) return done;
        const isWhole = bytes === PMD_BYTES && this.moveTable(move, oldPmd, newPmd, from);
        if (!isWhole) {
          if (!tables.pteAlloc(context, newPmd)) return done;
          // A table went away under its entry: once more.
          if (!this.moveEntries(move, { oldPmd, newPmd, from, to, bytes })) continue;
        }
      }
      done += bytes;
    }
    return move.bytes;
  }

  /** Linux: move_ptes. */
  private moveEntries(
    { mm, rmapLocked }: TableMove,
    part: { oldPmd: Pointer; newPmd: Pointer; from: number; to: number; bytes: number },
  ): boolean {
    const { tables } = this;
    const { oldPmd, newPmd, from, to, bytes } = part;
    this.lockRmap(rmapLocked);
    const old = tables.pteOffsetMapLock(oldPmd, from);
    const fresh = old === 0 ? 0 : this.lockSecond(oldPmd, newPmd, old, to);
    // What was unmapped here lately may be in TLBs yet, and its entry is empty: nothing below would flush for it.
    if (fresh !== 0) this.batch.flushPending(contextOf(mm));
    let mustFlush = false;
    if (fresh !== 0) mustFlush = this.moveWords(old, fresh, bytes / PAGE_BYTES);
    reached("mremap-flush-late");
    if (mustFlush && !flushesLate) this.shootdown.flushMmRange(contextOf(mm), from, from + bytes);
    if (fresh !== 0 && newPmd !== oldPmd) tables.pteUnlock(fresh);
    if (old !== 0) tables.pteUnlock(old);
    if (mustFlush && flushesLate) this.shootdown.flushMmRange(contextOf(mm), from, from + bytes);
    this.unlockRmap(rmapLocked);
    return fresh !== 0;
  }

  /** The entry for `to`, its table's lock held: it may be the table of the old entry, whose lock is held already. */
  private lockSecond(oldPmd: Pointer, newPmd: Pointer, old: Pointer, to: number): Pointer {
    if (newPmd !== oldPmd) return this.tables.pteOffsetMapLock(newPmd, to);
    const table = Math.floor(old / FRAME_WORDS) * FRAME_WORDS;
    return table + ((to % PMD_BYTES) / PAGE_BYTES) * ENTRY_WORDS;
  }

  /** Whether a TLB may know any of the old entries. */
  private moveWords(old: Pointer, fresh: Pointer, count: number): boolean {
    const { pte } = this.tables;
    let known = false;
    for (let i = 0; i < count; i++) {
      const at = old + i * ENTRY_WORDS;
      if (pte.get(at) === 0 && pte.high === 0) continue;
      const low = pte.take(at);
      if (isPresent(low)) known = true;
      pte.set(fresh + i * ENTRY_WORDS, low, pte.high);
    }
    return known;
  }

  /** False where it cannot be: there is something at the new place.  Linux: move_normal_pmd. */
  private moveTable({ mm, rmapLocked }: TableMove, oldPmd: Pointer, newPmd: Pointer, from: number): boolean {
    const { tables, memory } = this;
    const { pte } = tables;
    // With mmap_lock held for writing no table comes to where no VMA is.
    if (memory.load(newPmd) !== 0) return false;
    this.lockRmap(rmapLocked);
    const isOneTable = tables.lockOf(oldPmd) === tables.lockOf(newPmd);
    tables.pmdLock(oldPmd);
    if (!isOneTable) tables.pmdLock(newPmd);
    const low = pte.take(oldPmd);
    const isThere = (low & PRESENT) !== 0;
    if (isThere) {
      pte.set(newPmd, low, pte.high);
      this.shootdown.flushMmRange(contextOf(mm), from, from + PMD_BYTES);
    }
    if (!isOneTable) tables.pmdUnlock(newPmd);
    tables.pmdUnlock(oldPmd);
    this.unlockRmap(rmapLocked);
    return true;
  }

  private lockRmap(area: VmaRef): void {
    if (area === 0) return;
    const file = this.files.mappedBy(area);
    if (file !== 0) this.files.lockMappings(file);
    const own = this.memory.load(area + VmArea.anonVma);
    if (own !== 0) this.anonVmas.lock(own);
  }
  private unlockRmap(area: VmaRef): void {
    if (area === 0) return;
    const own = this.memory.load(area + VmArea.anonVma);
    if (own !== 0) this.anonVmas.unlock(own);
    const file = this.files.mappedBy(area);
    if (file !== 0) this.files.unlockMappings(file);
  }
}
