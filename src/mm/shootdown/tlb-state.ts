/**
 * What each CPU knows about its own TLB, and what it tells others when they are to forget.
 *
 * Other CPUs look at `loadedMm` and `isLazy`; the latter lies on a line of its own, since senders of flushes read it.
 *
 * Linux: arch/x86/include/asm/tlbflush.h struct tlb_state, tlb_state_shared, flush_tlb_info.
 */

import { array, embed, float64, pad, struct, word } from "../../memory/struct.ts";
import { cpuMask } from "../../sync/cpumask.ts";

/** Address spaces that a CPU's TLB tells apart.  Linux: TLB_NR_DYN_ASIDS. */
export const DYNAMIC_ASIDS = 6;
/** Numbers from here on are the same on all CPUs. */
export const FIRST_GLOBAL_ASID = DYNAMIC_ASIDS;
/** In `loadedMm`: CR3 is being changed.  Linux: LOADED_MM_SWITCHING. */
export const MM_SWITCHING = 1;
/** Slot `asid` has this PCID: 0 is the kernel's own.  Linux: kern_pcid. */
export const pcidOf = (asid: number): number => asid + 1;

/** What a flush is about; its sender waits, so there is one a CPU. */
export const FlushTlbInfo = struct("flush_tlb_info", {
  mm: word("holder", "pointer:mm_context"),
  /** The generation that this flush makes complete; 0: any. */
  newGen: word("holder"),
  start: float64("holder"),
  /** Infinity: everything. */
  end: float64("holder"),
  strideBytes: word("holder"),
  initiator: word("holder"),
  freedTables: word("holder", "flags"),
  /** CPUs that run something else leave the mask. */
  trim: word("holder", "flags"),
  /** 1 while it is in use: flushes do not nest. */
  busy: word("holder", "flags"),
  pairs: word("holder"),
});

export const CpuTlbState = struct("cpu_tlbstate", {
  /** The address space in CR3, or MM_SWITCHING. */
  loadedMm: word("atomic", "pointer:mm_context"),
  loadedAsid: word("hint:owner-cpu"),
  /** The slot that is taken next. */
  nextAsid: word("owner-cpu"),
  unused: word("boot"),
  /** Of each slot, whose entries the TLB may have, and up to which generation they are good. */
  ctxIds: array(DYNAMIC_ASIDS, "hint:owner-cpu"),
  tlbGens: array(DYNAMIC_ASIDS, "hint:owner-cpu"),
  lazyPad: pad(),
  /** It runs no program: the address space is loaded, and nobody uses it. */
  isLazy: word("atomic", "flags"),
  infoPad: pad(),
  info: embed(FlushTlbInfo, "holder"),
  /** CPUs whose TLBs reclaim has yet to flush.  Linux: struct arch_tlbflush_unmap_batch. */
  batchMask: cpuMask("owner-cpu"),
  /** Whether there is anything to flush, and whether any of it could be written to. */
  batchRequired: word("owner-cpu", "flags"),
  batchWritable: word("owner-cpu", "flags"),
});
