/**
 * Global ASIDs: an address space that is active on many CPUs has one number for all of them, and broadcast invalidation keeps
 * what their TLBs know under that number up to date, whether they run it or not.
 *
 *   numbers 0..5 are each CPU's own slots; 6 and up are global, PCID = number + 1
 *
 * A number that was freed is given again only after the search has come to the end and begun anew, which drops everything
 * from all TLBs first.  From the moment an address space gets its number until all its CPUs use it, it is *in transition*: who
 * flushes interrupts the stragglers, besides the broadcast, and they load the global number.
 *
 * Invariants
 *   G1  a used bit is set exactly for the numbers of address spaces that have one
 *   G2  while an address space is not in transition, no CPU uses it under a number of its own
 *
 * Linux 6.15: arch/x86/mm/tlb.c use_global_asid, allocate_global_asid, reset_global_asid_space, mm_free_global_asid,
 * consider_global_asid, mm_active_cpus_exceeds.  Differs: looks at each flush, not in one of 32 ticks.
 */

import type { PerCpuSlot } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { array, embed, struct, word } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";
import type { CpuMasks } from "../../sync/cpumask.ts";
import { LockClass } from "../../sync/lock-class.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import type { TlbBroadcasts } from "../../sync/tlb-broadcast.ts";
import { MmContext, type MmRef } from "../pgtable/mm-context.ts";
import { CpuTlbState, FIRST_GLOBAL_ASID } from "./tlb-state.ts";

const mmField = MmContext;
const state = CpuTlbState;
/** One past the last number: PCIDs have 12 bits, and 0 is the kernel's.  Linux: MAX_ASID_AVAILABLE. */
const END_ASID = 4094;
const USED_WORDS = 128;
/** An address space that runs on more CPUs gets a global number.  Linux: consider_global_asid. */
const ACTIVE_CPUS = 3;
/** Numbers are given again although TLBs may know them. */
const noReset = mutant("asid-reuse-no-flush");

export const AsidGlobals = struct("asid_globals", {
  lock: embed(SpinLock, "atomic"),
  /** Linux: last_global_asid. */
  last: word("lock:global_asid_lock"),
  /** Linux: global_asid_available. */
  available: word("lock:global_asid_lock", "counter"),
  /** One past the last number that is given. */
  end: word("boot"),
  /** How often all numbers began anew. */
  resets: word("lock:global_asid_lock", "counter"),
  /** Linux: global_asid_used. */
  used: array(USED_WORDS, "lock:global_asid_lock", "flags"),
});
const field = AsidGlobals;

export class GlobalAsids {
  declare readonly globals: Pointer;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;
  declare private readonly masks: CpuMasks;
  declare private readonly slot: PerCpuSlot;
  declare private readonly broadcasts: TlbBroadcasts;

  constructor(parts: {
    memory: Memory;
    locks: SpinLocks;
    masks: CpuMasks;
    slot: PerCpuSlot;
    broadcasts: TlbBroadcasts;
    globals: Pointer;
  }) {
    this.memory = parts.memory;
    this.locks = parts.locks;
    this.masks = parts.masks;
    this.slot = parts.slot;
    this.broadcasts = parts.broadcasts;
    this.globals = parts.globals;
  }

  /** First state, on the boot CPU; numbers up to `end` - 1 are given. */
  format(end = END_ASID): void {
    const { memory, locks, globals } = this;
    locks.format(globals + field.lock, LockClass.GLOBAL_ASID);
    memory.write(globals + field.end, end);
    memory.write(globals + field.last, FIRST_GLOBAL_ASID - 1);
    memory.write(globals + field.available, end - FIRST_GLOBAL_ASID);
  }

  /** After a flush by interrupts: an address space that is active on many CPUs gets a number.  @irqs on */
  consider(mm: MmRef): void {
    if (this.isActiveOnMany(mm)) this.use(mm);
  }

  /** Gives `mm` a number, if it has none and there is one.  Linux: use_global_asid. */
  use(mm: MmRef): void {
    const { memory, locks, globals } = this;
    const flags = locks.lockIrqSave(globals + field.lock);
    if (memory.load(mm + mmField.globalAsid) === 0 && memory.read(globals + field.available) > 0) {
      // Before the number: who sees that must see that CPUs may use another.
      memory.store(mm + mmField.asidTransition, 1);
      memory.store(mm + mmField.globalAsid, this.allocate());
    }
    locks.unlockIrqRestore(globals + field.lock, flags);
  }

  /** The address space ends: no CPU has it loaded.  Linux: mm_free_global_asid. */
  free(mm: MmRef): void {
    const { memory, locks, globals } = this;
    const asid = memory.load(mm + mmField.globalAsid);
    if (asid === 0) return;
    const flags = locks.lockIrqSave(globals + field.lock);
    const at = globals + field.used + (asid >> 5);
    memory.write(at, memory.read(at) & ~(1 << (asid & 31)));
    memory.write(globals + field.available, memory.read(globals + field.available) + 1);
    memory.store(mm + mmField.globalAsid, 0);
    locks.unlockIrqRestore(globals + field.lock, flags);
  }

  /** Where the machine counts how often all numbers have begun anew. */
  get resetsAt(): Pointer {
    return this.globals + field.resets;
  }

  /** The numbers in use, at rest. */
  inUse(): number[] {
    const { memory, globals } = this;
    const found: number[] = [];
    for (let asid = 0; asid < USED_WORDS * 32; asid++)
      if ((memory.read(globals + field.used + (asid >> 5)) & (1 << (asid & 31))) !== 0) found.push(asid);
    return found;
  }

  /** Linux: mm_active_cpus_exceeds. */
  private isActiveOnMany(mm: MmRef): boolean {
    const { memory, masks, slot } = this;
    const mask = mm + mmField.cpumask;
    if (masks.weight(mask) <= ACTIVE_CPUS) return false;
    let active = 0;
    for (let cpu = 0; cpu < masks.cpus; cpu++) {
      if (!masks.has(mask, cpu)) continue;
      const at = slot.of(cpu);
      if (memory.load(at + state.loadedMm) !== mm || memory.load(at + state.isLazy) !== 0) continue;
      if (++active > ACTIVE_CPUS) return true;
    }
    return false;
  }

  /** Linux: allocate_global_asid.  @holds global_asid_lock */
  private allocate(): number {
    const { memory, globals } = this;
    const end = memory.read(globals + field.end);
    let asid = this.nextFree(memory.read(globals + field.last) + 1);
    if (asid === end) {
      reached("asid-reuse-no-flush");
      if (!noReset) {
        // Linux: reset_global_asid_space.
        this.broadcasts.nonGlobal();
        this.broadcasts.sync();
      }
      memory.write(globals + field.resets, memory.read(globals + field.resets) + 1);
      asid = this.nextFree(FIRST_GLOBAL_ASID);
    }
    const at = globals + field.used + (asid >> 5);
    memory.write(at, memory.read(at) | (1 << (asid & 31)));
    memory.write(globals + field.last, asid);
    memory.write(globals + field.available, memory.read(globals + field.available) - 1);
    return asid;
  }

  private nextFree(from: number): number {
    const { memory, globals } = this;
    const end = memory.read(globals + field.end);
    let asid = from;
    while (asid < end && (memory.read(globals + field.used + (asid >> 5)) & (1 << (asid & 31))) !== 0) asid++;
    return asid;
  }
}
