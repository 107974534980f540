/**
 * What address spaces may have: pages by kind and their limits, and memory that was promised to all of them together.
 *
 * Writable private memory counts as committed when it is mapped, though it comes page by page.  vm.overcommit_memory:
 *   0  one request may not ask for more than there is in all     1  anything     2  never more than the limit together
 *
 * Linux: mm/mmap.c vm_stat_account, may_expand_vm; mm/util.c __vm_enough_memory, vm_commit_limit.
 */

import type { ImageLayout, Slot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { embed, struct, word } from "../memory/struct.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { PerCpuCounter, type PerCpuCounters } from "../sync/percpu-counter.ts";
import { type MmRef, MmStruct } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";

const mm = MmStruct;
const { EXEC, WRITE, SHARED, GROWSDOWN, NORESERVE, LOCKED } = VmFlag;

const Globals = struct("vm_commit", {
  /** Linux: sysctl vm.overcommit_memory, vm.overcommit_ratio. */
  mode: word("boot"),
  ratioPercent: word("boot"),
  committed: embed(PerCpuCounter, "atomic"),
});

export const Overcommit = { GUESS: 0, ALWAYS: 1, NEVER: 2 } as const;
const RATIO_PERCENT = 50;
/** Linux: vm.admin_reserve_kbytes, vm.user_reserve_kbytes. */
const ADMIN_RESERVE = (8 << 20) / PAGE_BYTES;
const USER_RESERVE = (128 << 20) / PAGE_BYTES;
/** An address space pays for recovery with a 32nd of its size.  */
const USER_SHARE = 32;

export interface AccountingParts {
  readonly memory: Memory;
  readonly counters: PerCpuCounters;
  readonly slot: Slot;
  /** Frames that were given to the page allocator. */
  readonly totalPages: () => number;
}

export class Accounting {
  declare private readonly memory: Memory;
  declare private readonly counters: PerCpuCounters;
  declare private readonly at: Pointer;
  declare private readonly totalPages: () => number;

  constructor(parts: AccountingParts) {
    this.memory = parts.memory;
    this.counters = parts.counters;
    this.at = parts.slot.address;
    this.totalPages = parts.totalPages;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("vm_commit", Globals);
  }

  /** False when there is no memory.  @may-sleep */
  init(mode: number): boolean {
    this.memory.write(this.at + Globals.mode, mode);
    this.memory.write(this.at + Globals.ratioPercent, RATIO_PERCENT);
    return this.counters.init(this.at + Globals.committed, 0);
  }

  get mode(): number {
    return this.memory.read(this.at + Globals.mode);
  }

  /** Pages committed now; exact at rest. */
  get committedPages(): number {
    return this.counters.sum(this.at + Globals.committed);
  }

  /** Pages that may be committed in mode 2.  Linux: vm_commit_limit. */
  get limitPages(): number {
    return Math.floor((this.totalPages() * this.memory.read(this.at + Globals.ratioPercent)) / 100);
  }

  /** Commits `pages` for an address space or a file (0), unless that is too much.  Linux: security_vm_enough_memory_mm. */
  commit(at: MmRef, pages: number): boolean {
    const { mode } = this;
    this.add(pages);
    if (mode === Overcommit.ALWAYS) return true;
    const isEnough = mode === Overcommit.GUESS ? pages <= this.totalPages() : this.isWithinLimit(at);
    if (!isEnough) this.add(-pages);
    return isEnough;
  }

  /** Commits what is mapped already, whether there is enough or not.  Linux: vm_acct_memory. */
  commitAlways(pages: number): void {
    this.add(pages);
  }

  /** Linux: vm_unacct_memory. */
  uncommit(pages: number): void {
    this.add(-pages);
  }

  /** Whether a mapping with these flags counts as committed.  Linux: accountable_mapping. */
  isAccountable(flags: number): boolean {
    return (flags & (NORESERVE | SHARED | WRITE)) === WRITE;
  }

  /** Linux: vm_stat_account.  @holds mmap_lock */
  count(at: MmRef, flags: number, pages: number): void {
    if (pages < 0) this.noteHighWater(at);
    this.addTo(at + mm.totalVm, pages);
    if ((flags & (EXEC | WRITE | GROWSDOWN)) === EXEC) this.addTo(at + mm.execVm, pages);
    else if ((flags & GROWSDOWN) !== 0) this.addTo(at + mm.stackVm, pages);
    else if (isData(flags)) this.addTo(at + mm.dataVm, pages);
  }

  /** Whether the limits on address space and data allow `pages` more.  Linux: may_expand_vm.  @holds mmap_lock */
  mayExpand(at: MmRef, flags: number, pages: number): boolean {
    const { memory } = this;
    if (memory.readFloat64(at + mm.totalVm) + pages > memory.readFloat64(at + mm.limitPages)) return false;
    return (
      !isData(flags) ||
      memory.readFloat64(at + mm.dataVm) + pages <= memory.readFloat64(at + mm.limitDataPages)
    );
  }

  /** Whether the limit on locked memory allows `pages` more of a VMA with these flags.  Linux: mlock_future_ok. */
  mayLock(at: MmRef, flags: number, pages: number): boolean {
    const { memory } = this;
    return (
      (flags & LOCKED) === 0 ||
      memory.readFloat64(at + mm.lockedVm) + pages <= memory.readFloat64(at + mm.limitLockedPages)
    );
  }

  private isWithinLimit(at: MmRef): boolean {
    const totalVm = at === 0 ? 0 : this.memory.readFloat64(at + mm.totalVm);
    const share = Math.min(Math.floor(totalVm / USER_SHARE), USER_RESERVE);
    const allowed = this.limitPages - ADMIN_RESERVE - share;
    return this.counters.readPositive(this.at + Globals.committed) < allowed;
  }

  /** Linux: update_hiwater_vm. */
  private noteHighWater(at: MmRef): void {
    const { memory } = this;
    const totalVm = memory.readFloat64(at + mm.totalVm);
    if (totalVm > memory.readFloat64(at + mm.hiwaterVm)) memory.writeFloat64(at + mm.hiwaterVm, totalVm);
  }

  private add(pages: number): void {
    this.counters.add(this.at + Globals.committed, pages);
  }

  private addTo(field: Pointer, pages: number): void {
    this.memory.writeFloat64(field, this.memory.readFloat64(field) + pages);
  }
}

const isData = (flags: number): boolean => (flags & (WRITE | SHARED | GROWSDOWN)) === WRITE;
