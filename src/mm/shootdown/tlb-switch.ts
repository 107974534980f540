/**
 * Which address space a CPU has loaded, and which of those it had before its TLB still remembers.
 *
 * Six slots, each with a PCID of its own, remember address spaces by number and generation.  Coming back to one whose
 * generation has not moved costs no flush.  A kernel thread needs no address space: the CPU keeps the last one, *lazily*,
 * and is told of no changes; when it returns to it, the generation says whether it has missed any.
 *
 * The order in a switch to N:
 *
 *   loadedMm := SWITCHING    senders of flushes, of the old and of N, include this CPU
 *   leave the old mask       no more flushes for it
 *   join N's mask            from here on changes of N reach this CPU,
 *   read N's generation      and those before are seen here
 *   load CR3, flush or not;  loadedMm := N
 *
 * Invariants
 *   T1  a slot's generation only grows while its number stays, and is never ahead of the address space's
 *   L1  at rest, a CPU that has N loaded and is not lazy is in N's mask, and its slot has N's generation
 *
 * With broadcast invalidation an address space may have a number that is the same on all CPUs (global-asids): then there is
 * nothing to compare, and a CPU that used one of its own goes over to it.
 *
 * Linux: arch/x86/mm/tlb.c switch_mm_irqs_off, choose_new_asid, enter_lazy_tlb, leave_mm, initialize_tlbstate_and_flush.
 * Differs: no LAM, no user/kernel split of tables, no mitigations.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { shape } from "../../memory/shape.ts";
import type { Pfn, Pointer } from "../../memory/units.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import { genBefore, MmContext, type MmRef } from "../pgtable/mm-context.ts";
import { CpuTlbState, DYNAMIC_ASIDS, FIRST_GLOBAL_ASID, MM_SWITCHING, pcidOf } from "./tlb-state.ts";

const mmField = MmContext;
const state = CpuTlbState;
const { pcid: hasPcid, lazyTlb, lazyCpumask } = shape;
/** Address spaces may have numbers that are the same on all CPUs. */
export const BROADCASTS = shape.shootdown === "broadcast" && hasPcid;
const broadcasts = BROADCASTS;
/** A slot that fits is taken to be up to date. */
const noGeneration = mutant("switch-mm-no-generation");
/** The generation is read before the CPU joins the mask. */
const generationFirst = mutant("switch-mm-generation-first");

export interface TlbSwitchParts {
  readonly cpu: Cpu;
  readonly masks: CpuMasks;
  readonly slot: PerCpuSlot;
  readonly initMm: MmRef;
  readonly kernelRoot: () => Pfn;
}

export class TlbSwitch {
  declare readonly initMm: MmRef;
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly masks: CpuMasks;
  declare private readonly slot: PerCpuSlot;
  /** This CPU's cpu_tlbstate. */
  declare private readonly own: Pointer;
  declare private readonly kernelRoot: () => Pfn;

  constructor(parts: TlbSwitchParts) {
    const { cpu, slot } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.masks = parts.masks;
    this.initMm = parts.initMm;
    this.slot = slot;
    this.own = slot.of(cpu.id);
    this.kernelRoot = parts.kernelRoot;
  }

  static declare(layout: ImageLayout): PerCpuSlot {
    return layout.perCpu("cpu_tlbstate", CpuTlbState);
  }

  /** Every CPU has the kernel's own address space loaded; on the boot CPU.  Linux: initialize_tlbstate_and_flush. */
  format(): void {
    const { memory, masks, slot, initMm } = this;
    for (let cpu = 0; cpu < masks.cpus; cpu++) {
      const at = slot.of(cpu);
      memory.store(at + state.loadedMm, initMm);
      memory.write(at + state.nextAsid, 1);
      memory.write(at + state.ctxIds, memory.read(initMm + mmField.ctxId));
      memory.write(at + state.tlbGens, memory.load(initMm + mmField.tlbGen));
    }
  }

  // ---- looking ----

  /** The address space that this CPU has loaded, perhaps lazily. */
  get loadedMm(): MmRef {
    return this.memory.read(this.own + state.loadedMm);
  }
  get isLazy(): boolean {
    return this.memory.read(this.own + state.isLazy) !== 0;
  }
  get loadedAsid(): number {
    return this.memory.read(this.own + state.loadedAsid);
  }
  /**
   * The generation up to which this CPU's entries of the loaded address space are good.  Under a global number they always are:
   * broadcasts see to that.
   */
  get localGen(): number {
    const { memory, own } = this;
    if (broadcasts && this.loadedAsid >= FIRST_GLOBAL_ASID)
      return memory.load(memory.read(own + state.loadedMm) + mmField.tlbGen);
    return memory.read(own + state.tlbGens + this.loadedAsid);
  }
  /** Whether the loaded address space has a global number that this CPU does not use yet.  Linux: mm_needs_global_asid. */
  needsGlobalAsid(mm: MmRef): boolean {
    return this.loadedAsid < FIRST_GLOBAL_ASID && this.memory.load(mm + mmField.globalAsid) !== 0;
  }
  /** @irqs off */
  set localGen(generation: number) {
    this.memory.write(this.own + state.tlbGens + this.loadedAsid, generation);
  }

  // ---- switching ----

  /** Loads the address space of the task that is to run.  Linux: switch_mm. */
  switchMm(next: MmRef): void {
    const flags = this.cpu.irqSave();
    this.switchMmIrqsOff(next);
    this.cpu.irqRestore(flags);
  }

  /** @irqs off */
  switchMmIrqsOff(next: MmRef): void {
    const { memory, own, initMm, masks, cpu } = this;
    const prev = memory.read(own + state.loadedMm);
    const wasLazy = memory.read(own + state.isLazy) !== 0;
    if (wasLazy) memory.store(own + state.isLazy, 0);
    if (prev === next) {
      if (broadcasts && next !== initMm) {
        if (this.needsGlobalAsid(next)) {
          this.loadSlot(next, memory.load(next + mmField.tlbGen));
          return;
        }
        if (this.loadedAsid >= FIRST_GLOBAL_ASID) return;
      }
      if (!wasLazy || next === initMm) return;
      // Marked accesses are ordered: who does not see us lazy has us in its flush, who did has moved the generation.
      const generation = memory.load(next + mmField.tlbGen);
      if (this.localGen !== generation) this.load(next, this.loadedAsid, generation, true);
      return;
    }
    const early = memory.load(next + mmField.tlbGen);
    memory.store(own + state.loadedMm, MM_SWITCHING);
    if (prev !== initMm && !lazyCpumask) masks.remove(prev + mmField.cpumask, cpu.id);
    if (next !== initMm && !masks.has(next + mmField.cpumask, cpu.id))
      masks.add(next + mmField.cpumask, cpu.id);
    reached("switch-mm-generation-first");
    const generation = generationFirst ? early : memory.load(next + mmField.tlbGen);
    this.loadSlot(next, generation);
    memory.store(own + state.loadedMm, next);
    if (broadcasts) memory.wake(own + state.loadedMm);
  }

  /** The CPU goes on without a program; the address space stays loaded.  Linux: enter_lazy_tlb. */
  enterLazy(): void {
    const { memory, own, initMm } = this;
    if (memory.read(own + state.loadedMm) === initMm) return;
    if (lazyTlb) memory.store(own + state.isLazy, 1);
    else this.switchMm(initMm);
  }

  /** A CPU that is lazy lets the address space go: before deep sleep, and when the machine says so.  Linux: leave_mm. */
  leaveMm(): void {
    if (this.loadedMm === this.initMm) return;
    if (!this.isLazy) bug(`cpu ${this.cpu.id}: leave_mm while a program has the address space`);
    this.switchMm(this.initMm);
  }

  /** Chooses the slot.  Linux: choose_new_asid, load_new_mm_cr3.  @irqs off */
  private loadSlot(next: MmRef, generation: number): void {
    const { memory, own } = this;
    if (!hasPcid) {
      this.load(next, 0, generation, true);
      return;
    }
    if (broadcasts) {
      // What a TLB knows under a global number is never out of date.
      const global = memory.load(next + mmField.globalAsid);
      if (global !== 0) {
        this.load(next, global, generation, false);
        return;
      }
    }
    const ctxId = memory.read(next + mmField.ctxId);
    for (let asid = 0; asid < DYNAMIC_ASIDS; asid++) {
      if (memory.read(own + state.ctxIds + asid) !== ctxId) continue;
      const isBehind = genBefore(memory.read(own + state.tlbGens + asid), generation);
      if (isBehind) reached("switch-mm-no-generation");
      this.load(next, asid, generation, isBehind && !noGeneration);
      return;
    }
    let asid = memory.read(own + state.nextAsid);
    memory.write(own + state.nextAsid, asid + 1);
    if (asid >= DYNAMIC_ASIDS) {
      asid = 0;
      memory.write(own + state.nextAsid, 1);
    }
    this.load(next, asid, generation, true);
  }

  /** Writes CR3, with a flush of the slot's entries or without. */
  private load(next: MmRef, asid: number, generation: number, flushes: boolean): void {
    const { memory, own, cpu, initMm } = this;
    if (flushes) {
      memory.write(own + state.ctxIds + asid, memory.read(next + mmField.ctxId));
      memory.write(own + state.tlbGens + asid, generation);
      cpu.tlb.flushPcid(pcidOf(asid));
    }
    cpu.tlb.loadTables(next === initMm ? this.kernelRoot() : memory.read(next + mmField.pgd), pcidOf(asid));
    memory.write(own + state.loadedAsid, asid);
  }
}
