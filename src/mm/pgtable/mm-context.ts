/**
 * What page tables and TLBs need to know of one address space.  An `mm_struct` embeds it; `init_mm` is one alone.
 *
 * `ctxId` is never given twice, so that a CPU's remembered slot never fits another address space that was later put at
 * the same place.  `tlbGen` counts the changes of the tables that TLBs must follow.  Both are 32-bit numbers here;
 * generations are compared by their difference.
 *
 * Linux: struct mm_struct (pgd, page_table_lock, pgtables_bytes, tlb_flush_pending, tlb_flush_batched, cpu_bitmap) and
 * arch/x86/include/asm/mmu.h mm_context_t (ctx_id, tlb_gen, next_trim_cpumask).
 */

import { array, embed, float64, pad, struct, word } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import { cpuMask } from "../../sync/cpumask.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";

/** A pointer to an `mm_context`. */
export type MmRef = Pointer;

export const MmContext = struct("mm_context", {
  /** Frame of the top table; 0 while there is none. */
  pgd: word("hint:holder", "pfn"),
  ctxId: word("hint:holder"),
  /** On the list of all that have a top table.  Linux: pgd_list, with pgd_lock. */
  list: array(2, "lock:mmlist_lock", "pointer:list_head"),
  /** When CPUs that run something else are next dropped from the mask, ns.  Linux: next_trim_cpumask. */
  nextTrimNs: float64("hint:atomic"),
  own: pad(),
  tlbGen: word("atomic", "counter"),
  /** Changes of ranges that are under way: TLBs may know more than the tables.  Linux: tlb_flush_pending. */
  tlbFlushPending: word("atomic", "counter"),
  /** Flushes that reclaim has put off, and those of them that are done: 16 bits each.  Linux: tlb_flush_batched. */
  tlbFlushBatched: word("atomic"),
  /** Linux: pgtables_bytes. */
  tableBytes: word("atomic", "bytes"),
  /** The number that all CPUs know it by, or 0.  Linux: mm_context_t.global_asid. */
  globalAsid: word("atomic"),
  /** Some CPU may still use a number of its own.  Linux: mm_context_t.asid_transition. */
  asidTransition: word("atomic", "flags"),
  /** CPUs that have it loaded.  Linux: mm_cpumask. */
  cpumask: cpuMask("atomic"),
  lockPad: pad(),
  /** Guards the entries of the top table and of those below it.  Linux: page_table_lock. */
  pageTableLock: embed(SpinLock, "atomic"),
  /** For the stale-entry check: the newest generation that a flush has waited for, and that flush. */
  flushedGen: word("atomic"),
  flushedBy: word("hint:atomic"),
  flushedStart: float64("hint:atomic"),
  flushedEnd: float64("hint:atomic"),
  end: pad(),
});

/** What the machine has once. */
export const PgtableGlobals = struct("pgtable_globals", {
  /** Linux: last_mm_ctx_id. */
  lastCtxId: word("atomic", "counter"),
  unused: word("boot"),
  /** All address spaces with a top table but init_mm.  Linux: pgd_list, with pgd_lock. */
  list: array(2, "lock:mmlist_lock", "pointer:list_head"),
  lock: embed(SpinLock, "atomic"),
});

/** Whether generation `a` is before `b`. */
export const genBefore = (a: number, b: number): boolean => ((a - b) | 0) < 0;
