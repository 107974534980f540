/**
 * Flushes that reclaim puts off: it unmaps many pages of many address spaces, and the TLBs of all CPUs concerned are flushed once,
 * before the first of the pages is freed or written.
 *
 *   this CPU's batch          the CPUs that may remember what was unmapped; whether there is anything
 *   mm.tlb_flush_batched      (flushed << 16) | pending: how many flushes of this address space were put off, and how many of them
 *                             are known to be done.  Who changes entries under a table's lock and finds the two different
 *                             flushes himself: an entry that is empty already may still be in a TLB.
 *
 * A batch belongs to what runs on its CPU, from the first `add` to `flush`: one operation, which does not sleep in between.
 *
 * Invariants
 *   T4  no frame that was unmapped is given out again before the batch is flushed
 *   T5  pending and flushed of an address space differ while a put-off flush is not done
 *
 * Linux: mm/rmap.c set_tlb_ubc_flush_pending, should_defer_flush, try_to_unmap_flush, flush_tlb_batched_pending;
 * arch/x86/include/asm/tlbflush.h arch_tlbbatch_add_pending; arch/x86/mm/tlb.c arch_tlbbatch_flush.
 * Differs: the batch is the CPU's, not the task's.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { PerCpuSlot } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pointer } from "../../memory/units.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import { MmContext, type MmRef } from "../pgtable/mm-context.ts";
import type { Shootdown } from "./shootdown.ts";
import { CpuTlbState } from "./tlb-state.ts";

const mmField = MmContext;
const state = CpuTlbState;
const batching = shape.tlbBatching;
const FLUSHED_SHIFT = 16;
/** Linux: TLB_FLUSH_BATCH_PENDING_MASK, TLB_FLUSH_BATCH_PENDING_LARGE. */
const PENDING_MASK = 0x7fff;
const PENDING_LARGE = PENDING_MASK >> 1;
/** Who changes entries does not look whether a flush was put off. */
const ignoresPending = mutant("batched-pending-ignored");

export class UnmapBatch {
  declare private readonly memory: Memory;
  declare private readonly cpu: Cpu;
  declare private readonly masks: CpuMasks;
  declare private readonly shootdown: Shootdown;
  declare private readonly own: Pointer;

  constructor(parts: { cpu: Cpu; masks: CpuMasks; slot: PerCpuSlot; shootdown: Shootdown }) {
    const { cpu } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.masks = parts.masks;
    this.shootdown = parts.shootdown;
    this.own = parts.slot.of(cpu.id);
  }

  /** Whether a flush for `mm` is worth putting off: others run it.  Linux: should_defer_flush. */
  mayDefer(mm: MmRef): boolean {
    return batching && this.shootdown.othersHave(mm);
  }

  /** An entry of `mm` was cleared, and nobody has been told.  Linux: set_tlb_ubc_flush_pending.  @holds page table lock */
  add(mm: MmRef, isWritable: boolean): void {
    const { memory, own, masks } = this;
    // First the generation, then the mask: a CPU that joins later sees the one, one that is there already the other.
    memory.add(mm + mmField.tlbGen, 1);
    masks.addAll(own + state.batchMask, mm + mmField.cpumask);
    memory.write(own + state.batchRequired, 1);
    if (isWritable) memory.write(own + state.batchWritable, 1);
    const at = mm + mmField.tlbFlushBatched;
    for (let seen = memory.load(at); ; ) {
      // Pending must never come round to flushed by overflow.
      const next = (seen & PENDING_MASK) > PENDING_LARGE ? 1 : seen + 1;
      const found = memory.cas(at, seen, next);
      if (found === seen) return;
      seen = found;
    }
  }

  /** All CPUs forget what was unmapped.  Linux: try_to_unmap_flush, arch_tlbbatch_flush.  @irqs on */
  flush(): void {
    const { memory, own, masks } = this;
    if (memory.read(own + state.batchRequired) === 0) return;
    this.shootdown.flushCpus(own + state.batchMask);
    masks.clear(own + state.batchMask);
    memory.write(own + state.batchRequired, 0);
    memory.write(own + state.batchWritable, 0);
  }

  /** The same, if any of it could be written to: before a page is written out.  Linux: try_to_unmap_flush_dirty. */
  flushDirty(): void {
    if (this.memory.read(this.own + state.batchWritable) !== 0) this.flush();
  }

  /**
   * Flushes `mm` if a flush of it was put off: what the caller finds unmapped in a table may still be in TLBs, and he would not
   * flush for it.  Linux: flush_tlb_batched_pending.
   * @holds page table lock
   */
  flushPending(mm: MmRef): void {
    const { memory } = this;
    const at = mm + mmField.tlbFlushBatched;
    const batch = memory.load(at);
    const pending = batch & PENDING_MASK;
    if (pending === batch >> FLUSHED_SHIFT) return;
    reached("batched-pending-ignored");
    if (ignoresPending) return;
    this.shootdown.flushMm(mm);
    // If another one was put off meanwhile the word has changed and stays as it is.
    memory.cas(at, batch, pending | (pending << FLUSHED_SHIFT));
  }
}
