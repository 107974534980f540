/**
 * TLB shootdown: after a change of an address space's tables, every CPU that may remember the old ones forgets them, on
 * its own thread, and the CPU that made the change waits until all have.
 *
 * Each flush moves the address space's generation by one.  A target that finds itself exactly one behind, and the flush
 * to be the newest, drops the pages of the range; in every other case it drops everything and is then up to date with
 * whatever was newest when it began.
 *
 * Invariants
 *   T1  a slot's generation is never ahead of the address space's
 *   T2  after `flushMmRange` no CPU uses an entry for the range that it had before
 *   T3  each step of a generation belongs to one flush
 *
 * Linux: arch/x86/mm/tlb.c flush_tlb_mm_range, flush_tlb_func, native_flush_tlb_multi, should_flush_tlb.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { bug } from "../../memory/bug.ts";
import type { PerCpuSlot } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import type { FunctionId, Functions } from "../../sync/functions.ts";
import type { CrossCalls } from "../../sync/ipi.ts";
import type { TlbBroadcasts } from "../../sync/tlb-broadcast.ts";
import { VmEvent } from "../pages/counters.ts";
import type { Vmstat } from "../pages/vmstat.ts";
import { genBefore, MmContext, type MmRef } from "../pgtable/mm-context.ts";
import type { KernelFlush } from "../vmap/kernel-flush.ts";
import type { GlobalAsids } from "./global-asids.ts";
import type { StaleWatch } from "./stale-watch.ts";
import { CpuTlbState, FIRST_GLOBAL_ASID, FlushTlbInfo, MM_SWITCHING, pcidOf } from "./tlb-state.ts";
import { BROADCASTS, type TlbSwitch } from "./tlb-switch.ts";

const mmField = MmContext;
const state = CpuTlbState;
const infoField = FlushTlbInfo;
/** More pages than this, and everything is forgotten.  Linux: tlb_single_page_flush_ceiling. */
const FLUSH_CEILING = 33;
/** CPUs that run something else are dropped from the mask so often.  Linux: should_trim_cpumask. */
const TRIM_NS = 1e9;
/** A lazy CPU is left out although page tables are freed. */
const skipsLazy = mutant("shootdown-skips-lazy");
/** A broadcast is not waited for. */
const noSync = mutant("broadcast-no-sync");
/** Nobody looks for CPUs that use the address space under a number of their own. */
const endsEarly = mutant("asid-transition-early");

export interface ShootdownParts {
  readonly cpu: Cpu;
  readonly masks: CpuMasks;
  readonly calls: CrossCalls;
  readonly functions: Functions;
  readonly vmstat: Vmstat;
  readonly slot: PerCpuSlot;
  readonly tlb: TlbSwitch;
  readonly watch: StaleWatch;
  readonly kernelFlush: KernelFlush;
  readonly broadcasts: TlbBroadcasts;
  readonly asids: GlobalAsids;
}

export class Shootdown {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly masks: CpuMasks;
  declare private readonly calls: CrossCalls;
  declare private readonly vmstat: Vmstat;
  declare private readonly slot: PerCpuSlot;
  declare private readonly tlb: TlbSwitch;
  declare private readonly watch: StaleWatch;
  declare private readonly kernelFlush: KernelFlush;
  declare private readonly broadcasts: TlbBroadcasts;
  declare private readonly asids: GlobalAsids;
  declare private readonly info: Pointer;
  declare private readonly flushFunction: FunctionId;
  declare private readonly dropLazyFunction: FunctionId;
  /** Whether a CPU of the mask needs the flush that is being sent. */
  declare private readonly needsFlush: (cpu: number) => boolean;
  declare private readonly isLazyWith: (cpu: number) => boolean;

  constructor(parts: ShootdownParts) {
    const { cpu, functions, slot } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.masks = parts.masks;
    this.calls = parts.calls;
    this.vmstat = parts.vmstat;
    this.slot = slot;
    this.tlb = parts.tlb;
    this.watch = parts.watch;
    this.kernelFlush = parts.kernelFlush;
    this.broadcasts = parts.broadcasts;
    this.asids = parts.asids;
    this.info = slot.of(cpu.id) + state.info;
    this.flushFunction = functions.register("flush_tlb_func", (_cpu, info) => this.flushHere(info));
    this.dropLazyFunction = functions.register("do_shoot_lazy_tlb", (_cpu, mm) => this.dropLazyHere(mm));
    this.needsFlush = (target) => this.shouldFlush(target);
    this.isLazyWith = (target) =>
      this.memory.load(slot.of(target) + state.loadedMm) === this.memory.read(this.info + infoField.mm);
  }

  // ---- flushing ----

  /**
   * Ends what TLBs know of `start` to `end`; from more than 33 pages on, of everything.  `strideBytes`: of a page.
   * `freedTables`: page tables of the range will be freed, which concerns lazy CPUs too.
   * Linux: flush_tlb_mm_range.
   * @irqs on
   */
  flushMmRange(mm: MmRef, start: number, end: number, strideBytes = PAGE_BYTES, freedTables = false): void {
    const { cpu, memory, tlb } = this;
    cpu.preemptDisable();
    const isRange = (end - start) / strideBytes <= FLUSH_CEILING;
    const newGen = memory.add(mm + mmField.tlbGen, 1) + 1;
    const info = this.beginInfo(mm, newGen, isRange ? start : 0, isRange ? end : Infinity);
    memory.write(info + infoField.strideBytes, strideBytes);
    memory.write(info + infoField.freedTables, freedTables ? 1 : 0);
    if (BROADCASTS && memory.load(mm + mmField.globalAsid) !== 0) {
      this.flushByBroadcast(mm, info);
    } else if (this.othersHave(mm)) {
      memory.write(info + infoField.trim, this.isTrimDue(mm) ? 1 : 0);
      this.flushMany(mm + mmField.cpumask, info);
      if (BROADCASTS) this.asids.consider(mm);
    } else if (tlb.loadedMm === mm) {
      const flags = cpu.irqSave();
      this.flushHere(info);
      cpu.irqRestore(flags);
    }
    this.watch.flushed(mm, newGen, start, end);
    memory.write(info + infoField.busy, 0);
    cpu.preemptEnable();
  }

  /** Linux: flush_tlb_page. */
  flushPage(mm: MmRef, address: number): void {
    const start = Math.floor(address / PAGE_BYTES) * PAGE_BYTES;
    this.flushMmRange(mm, start, start + PAGE_BYTES, PAGE_BYTES, false);
  }

  /** Linux: flush_tlb_mm. */
  flushMm(mm: MmRef): void {
    this.flushMmRange(mm, 0, Infinity, PAGE_BYTES, true);
  }

  /** Everything, on all CPUs, global entries too.  Linux: flush_tlb_all. */
  flushAll(): void {
    this.kernelFlush.all();
  }

  /** Kernel addresses, on all CPUs: one by one up to 33 pages, else everything.  Linux: flush_tlb_kernel_range. */
  flushKernelRange(start: number, end: number): void {
    this.kernelFlush.range(start, end);
  }

  /** What this CPU alone remembers of a page: its entry has got more rights.  Linux: flush_tlb_fix_spurious_fault. */
  flushPageHere(address: number): void {
    this.cpu.tlb.flushPage(address, this.cpu.tlb.pcid);
  }

  /** Everything that the CPUs of `mask` know of user addresses; their generations stay.  Linux: arch_tlbbatch_flush. */
  flushCpus(mask: Pointer): void {
    const { cpu, memory, broadcasts } = this;
    if (BROADCASTS) {
      // CPUs whose slots are behind find that out when they next compare generations.
      broadcasts.nonGlobal();
      broadcasts.sync();
      return;
    }
    cpu.preemptDisable();
    const info = this.beginInfo(0, 0, 0, Infinity);
    this.flushMany(mask, info);
    memory.write(info + infoField.busy, 0);
    cpu.preemptEnable();
  }

  /**
   * Makes CPUs that have `mm` loaded lazily let it go, before its top table is freed.
   * Linux: kernel/fork.c cleanup_lazy_tlbs, CONFIG_MMU_LAZY_TLB_SHOOTDOWN.
   * @irqs on
   */
  dropLazy(mm: MmRef): void {
    const { cpu, memory, calls, info } = this;
    cpu.preemptDisable();
    memory.write(info + infoField.mm, mm);
    calls.onEachOf(mm + mmField.cpumask, this.dropLazyFunction, mm, true, this.isLazyWith);
    cpu.preemptEnable();
  }

  /** Whether `mm` is in use on a CPU besides this one. */
  othersHave(mm: MmRef): boolean {
    const { masks, cpu } = this;
    const mask = mm + mmField.cpumask;
    return masks.weight(mask) > (masks.has(mask, cpu.id) ? 1 : 0);
  }

  /** Nobody is interrupted but stragglers of a transition.  Linux: broadcast_tlb_flush. */
  private flushByBroadcast(mm: MmRef, info: Pointer): void {
    const { memory, broadcasts } = this;
    const pcid = pcidOf(memory.load(mm + mmField.globalAsid));
    const end = memory.readFloat64(info + infoField.end);
    if (end === Infinity) broadcasts.pcid(pcid);
    else {
      const stride = memory.read(info + infoField.strideBytes);
      broadcasts.pages(pcid, memory.readFloat64(info + infoField.start), end, stride);
    }
    this.finishTransition(mm, info);
    reached("broadcast-no-sync");
    if (!noSync) broadcasts.sync();
  }

  /** Linux: finish_asid_transition. */
  private finishTransition(mm: MmRef, info: Pointer): void {
    const { memory, masks, slot } = this;
    if (memory.load(mm + mmField.asidTransition) === 0) return;
    reached("asid-transition-early");
    const asid = memory.load(mm + mmField.globalAsid);
    for (let cpu = 0; cpu < masks.cpus; cpu++) {
      if (endsEarly || !masks.has(mm + mmField.cpumask, cpu)) continue;
      const at = slot.of(cpu);
      // It may be about to load this address space under a number of its own.
      memory.waitWhile(at + state.loadedMm, -1, MM_SWITCHING);
      if (memory.load(at + state.loadedMm) !== mm || memory.load(at + state.loadedAsid) === asid) continue;
      this.flushMany(mm + mmField.cpumask, info);
      return;
    }
    memory.store(mm + mmField.asidTransition, 0);
  }

  /** Linux: native_flush_tlb_multi. */
  private flushMany(mask: Pointer, info: Pointer): void {
    const { memory, calls } = this;
    this.vmstat.countEvents(VmEvent.nr_tlb_remote_flush, 1);
    const freed = memory.read(info + infoField.freedTables) !== 0;
    if (freed) reached("shootdown-skips-lazy");
    const condition = freed && !skipsLazy ? null : this.needsFlush;
    calls.onEachOf(mask, this.flushFunction, info, true, condition);
  }

  /** Linux: should_flush_tlb. */
  private shouldFlush(target: number): boolean {
    const { memory, slot, info } = this;
    const at = slot.of(target);
    if (memory.load(at + state.isLazy) !== 0) return false;
    const mm = memory.read(info + infoField.mm);
    const loaded = memory.load(at + state.loadedMm);
    if (mm === 0 || loaded === mm || loaded === MM_SWITCHING) return true;
    return memory.read(info + infoField.trim) !== 0;
  }

  /** Linux: should_trim_cpumask. */
  private isTrimDue(mm: MmRef): boolean {
    const { memory, cpu } = this;
    const now = cpu.nowNs();
    if (now < memory.readFloat64(mm + mmField.nextTrimNs)) return false;
    memory.writeFloat64(mm + mmField.nextTrimNs, now + TRIM_NS);
    return true;
  }

  /** Linux: get_flush_tlb_info. */
  private beginInfo(mm: MmRef, newGen: number, start: number, end: number): Pointer {
    const { memory, info, cpu } = this;
    if (memory.read(info + infoField.busy) !== 0) bug(`cpu ${cpu.id}: a TLB flush within a TLB flush`);
    memory.write(info + infoField.busy, 1);
    memory.write(info + infoField.mm, mm);
    memory.write(info + infoField.newGen, newGen);
    memory.writeFloat64(info + infoField.start, start);
    memory.writeFloat64(info + infoField.end, end);
    memory.write(info + infoField.strideBytes, PAGE_BYTES);
    memory.write(info + infoField.freedTables, 0);
    memory.write(info + infoField.trim, 0);
    memory.write(info + infoField.initiator, cpu.id);
    return info;
  }

  // ---- the target's side ----

  /** Linux: flush_tlb_func.  @irqs off  @cpu local */
  private flushHere(info: Pointer): void {
    const { memory, cpu, vmstat, tlb, masks } = this;
    const mm = memory.read(info + infoField.mm);
    const loaded = tlb.loadedMm;
    const isLocal = memory.read(info + infoField.initiator) === cpu.id;
    if (!isLocal) {
      vmstat.countEvents(VmEvent.nr_tlb_remote_flush_received, 1);
      if (mm !== 0 && mm !== loaded) {
        if (memory.read(info + infoField.trim) !== 0) masks.remove(mm + mmField.cpumask, cpu.id);
        return;
      }
    }
    if (loaded === tlb.initMm) return;
    if (BROADCASTS && !tlb.isLazy) {
      if (tlb.needsGlobalAsid(loaded)) tlb.switchMmIrqsOff(loaded);
      // Broadcasts keep it up to date.
      if (tlb.loadedAsid >= FIRST_GLOBAL_ASID) return;
    }
    if (tlb.isLazy) {
      // Nobody here uses it: with init_mm loaded no more interrupts come.
      tlb.switchMmIrqsOff(tlb.initMm);
      return;
    }
    const newGen = memory.read(info + infoField.newGen);
    const localGen = tlb.localGen;
    // Somebody's newer flush has done this one's work.
    if (newGen !== 0 && !genBefore(localGen, newGen)) return;
    const mmGen = memory.load(loaded + mmField.tlbGen);
    if (mmGen === localGen) return;
    const end = memory.readFloat64(info + infoField.end);
    if (end !== Infinity && newGen === ((localGen + 1) | 0) && newGen === mmGen)
      this.flushPages(info, isLocal);
    else {
      cpu.tlb.flushPcid(pcidOf(tlb.loadedAsid));
      if (isLocal) vmstat.countEvents(VmEvent.nr_tlb_local_flush_all, 1);
    }
    tlb.localGen = mmGen;
  }

  private flushPages(info: Pointer, isLocal: boolean): void {
    const { memory, cpu, vmstat } = this;
    const end = memory.readFloat64(info + infoField.end);
    const stride = memory.read(info + infoField.strideBytes);
    let pages = 0;
    for (let at = memory.readFloat64(info + infoField.start); at < end; at += stride) {
      cpu.tlb.flushPage(at, cpu.tlb.pcid);
      pages++;
    }
    if (isLocal) vmstat.countEvents(VmEvent.nr_tlb_local_flush_one, pages);
  }

  /** Linux: do_shoot_lazy_tlb.  @irqs off */
  private dropLazyHere(mm: MmRef): void {
    const { tlb } = this;
    if (tlb.loadedMm !== mm) return;
    if (!tlb.isLazy) bug(`cpu ${this.cpu.id}: address space ${mm} ends while a program has it`);
    tlb.switchMmIrqsOff(tlb.initMm);
  }
}
