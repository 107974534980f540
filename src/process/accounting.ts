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
import { embed, float64, struct, word } from "../memory/struct.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { PerCpuCounter, type PerCpuCounters } from "../sync/percpu-counter.ts";
import { type MmRef, MmStruct } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import { Capability, type VmSettings } from "./vm-settings.ts";

const mm = MmStruct;
const { EXEC, WRITE, SHARED, GROWSDOWN, NORESERVE, LOCKED } = VmFlag;

const Globals = struct("vm_commit", {
  /** Linux: sysctl vm.overcommit_memory. */
  mode: word("atomic"),
  /** Of a CPU's part of `committed`: smaller when every page counts.  Linux: vm_committed_as_batch. */
  batch: word("atomic"),
  /** Pages.  Linux: sysctl vm.admin_reserve_kbytes, vm.user_reserve_kbytes. */
  adminReserve: float64("boot"),
  userReserve: float64("boot"),
  committed: embed(PerCpuCounter, "atomic"),
});

export const Overcommit = { GUESS: 0, ALWAYS: 1, NEVER: 2 } as const;
/** Kilobytes that are kept at most, unless the settings say otherwise; and the part of free memory that these are. */
const ADMIN_RESERVE_KBYTES = 8 << 10;
const USER_RESERVE_KBYTES = 128 << 10;
const RESERVE_PART = 32;
const PAGE_KBYTES = PAGE_BYTES / 1024;
/** An address space pays for recovery with a 32nd of its size.  */
const USER_SHARE = 32;

export interface AccountingParts {
  readonly memory: Memory;
  readonly counters: PerCpuCounters;
  readonly slot: Slot;
  /** Frames that were given to the page allocator. */
  readonly totalPages: () => number;
  readonly freePages: () => number;
  readonly cpus: number;
  readonly settings: VmSettings;
}

export class Accounting {
  declare private readonly memory: Memory;
  declare private readonly counters: PerCpuCounters;
  declare private readonly at: Pointer;
  declare private readonly totalPages: () => number;
  declare private readonly parts: AccountingParts;

  constructor(parts: AccountingParts) {
    this.memory = parts.memory;
    this.counters = parts.counters;
    this.at = parts.slot.address;
    this.totalPages = parts.totalPages;
    this.parts = parts;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("vm_commit", Globals);
  }

  /** False when there is no memory.  @may-sleep */
  init(): boolean {
    const { memory, at } = this;
    const { adminReserveKbytes, userReserveKbytes, overcommitMemory } = this.parts.settings;
    const part = Math.floor((this.parts.freePages() * PAGE_KBYTES) / RESERVE_PART);
    const pages = (kbytes: number): number => Math.floor(kbytes / PAGE_KBYTES);
    memory.writeFloat64(
      at + Globals.adminReserve,
      pages(adminReserveKbytes ?? Math.min(part, ADMIN_RESERVE_KBYTES)),
    );
    memory.writeFloat64(
      at + Globals.userReserve,
      pages(userReserveKbytes ?? Math.min(part, USER_RESERVE_KBYTES)),
    );
    if (!this.counters.init(at + Globals.committed, 0)) return false;
    this.setMode(overcommitMemory);
    return true;
  }

  /** Whether `init` was called. */
  get isReady(): boolean {
    return this.memory.load(this.at + Globals.batch) !== 0;
  }

  /**
   * Changes the mode; no CPU may commit meanwhile.  A limit that counts wants small parts: where CPUs keep large ones, the sum may be far from the count.
   * Linux: overcommit_policy_handler, mm_compute_batch.
   */
  setMode(mode: number): void {
    const { memory, at, parts } = this;
    const share = mode === Overcommit.NEVER ? 256 : 4;
    const bySize = Math.floor(this.totalPages() / parts.cpus / share);
    memory.store(at + Globals.batch, Math.max(bySize, 2 * parts.cpus, 32));
    // What CPUs have collected by the larger batch is put together first.
    if (mode === Overcommit.NEVER) this.counters.set(at + Globals.committed, this.committedPages);
    memory.store(at + Globals.mode, mode);
  }

  get mode(): number {
    return this.memory.load(this.at + Globals.mode);
  }

  /** Pages committed now; exact at rest. */
  get committedPages(): number {
    return this.counters.sum(this.at + Globals.committed);
  }

  /** Pages that may be committed in mode 2.  Linux: vm_commit_limit. */
  get limitPages(): number {
    const { overcommitKbytes, overcommitRatio } = this.parts.settings;
    if (overcommitKbytes !== 0) return Math.floor(overcommitKbytes / PAGE_KBYTES);
    return Math.floor((this.totalPages() * overcommitRatio) / 100);
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
    return (flags & LOCKED) === 0 || this.mayHaveLocked(at, memory.readFloat64(at + mm.lockedVm) + pages);
  }

  /** Whether the limit on locked memory allows `pages` in all. */
  mayHaveLocked(at: MmRef, pages: number): boolean {
    return pages <= this.memory.readFloat64(at + mm.limitLockedPages) || this.has(at, Capability.IPC_LOCK);
  }

  /** Whether it may lock memory at all.  Linux: can_do_mlock. */
  mayLockAny(at: MmRef): boolean {
    return this.memory.readFloat64(at + mm.limitLockedPages) > 0 || this.has(at, Capability.IPC_LOCK);
  }

  /** Linux: capable.  `at` 0: who asks on behalf of no address space. */
  has(at: MmRef, capability: number): boolean {
    if (at === 0) return this.parts.settings.privileged;
    return (this.memory.read(at + mm.capabilities) & capability) !== 0;
  }

  private isWithinLimit(at: MmRef): boolean {
    const { memory } = this;
    const totalVm = at === 0 ? 0 : memory.readFloat64(at + mm.totalVm);
    const reserve = memory.readFloat64(this.at + Globals.userReserve);
    const share = Math.min(Math.floor(totalVm / USER_SHARE), reserve);
    const isAdmin = this.has(at, Capability.SYS_ADMIN);
    const kept = isAdmin ? 0 : memory.readFloat64(this.at + Globals.adminReserve);
    const allowed = this.limitPages - kept - share;
    return this.counters.readPositive(this.at + Globals.committed) < allowed;
  }

  /** Linux: update_hiwater_vm. */
  private noteHighWater(at: MmRef): void {
    const { memory } = this;
    const totalVm = memory.readFloat64(at + mm.totalVm);
    if (totalVm > memory.readFloat64(at + mm.hiwaterVm)) memory.writeFloat64(at + mm.hiwaterVm, totalVm);
  }

  private add(pages: number): void {
    this.counters.add(this.at + Globals.committed, pages, this.memory.load(this.at + Globals.batch));
  }

  private addTo(field: Pointer, pages: number): void {
    this.memory.writeFloat64(field, this.memory.readFloat64(field) + pages);
  }
}

const isData = (flags: number): boolean => (flags & (WRITE | SHARED | GROWSDOWN)) === WRITE;
