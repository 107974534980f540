/**
 * Page faults: from an access that the MMU refused to an entry that allows it, or to the signal that the program gets.
 *
 *   access ── VMA read lock, no mmap_lock ──┬── resolve ── done
 *                  └─ not to be had, or it is not enough ── mmap_lock, read ──┘  (and once more, if the fault had to wait)
 *
 * Each page-table entry is looked at without its lock, the page is made ready, and then the lock is taken and the entry
 * looked at again: of two faults on one page the slower gives its page back.
 *
 * Linux: arch/x86/mm/fault.c do_user_addr_fault, access_error; mm/memory.c handle_pte_fault, do_anonymous_page, do_wp_page,
 * wp_page_copy, wp_page_reuse, vmf_anon_prepare.  Pages of files that are not mapped yet: file-faults.ts.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { entryHigh, entryLow, PageFault, PTE_HIGH_NX, PteBit } from "../hardware/page-table-entry.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { FRAME_WORDS, frameOf, type Pfn, type Pointer } from "../memory/units.ts";
import { VmEvent } from "../mm/pages/counters.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import type { PageTables } from "../mm/pgtable/page-tables.ts";
import { PageProt, PteSoft } from "../mm/pgtable/pte.ts";
import type { Shootdown } from "../mm/shootdown/shootdown.ts";
import { Task } from "../sync/task.ts";
import type { AnonPages } from "./anon-pages.ts";
import type { AnonVmas } from "./anon-vma.ts";
import { type Fault, FaultFlag, FaultOutcome } from "./fault.ts";
import type { FileFaults } from "./file-faults.ts";
import type { FilePages } from "./file-pages.ts";
import type { FileWrites } from "./file-writes.ts";
import type { MlockPages } from "./mlock-pages.ts";
import { pageFloor } from "./page-align.ts";
import { type Rss, RssMember } from "./rss.ts";
import type { StackGrowth } from "./stack-growth.ts";
import { UserSignal } from "./user-signal.ts";
import { contextOf, type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VM_ACCESS, VmFlag } from "./vm-flags.ts";
import type { MmapLocks } from "./vma-lock.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const vma = VmArea;
const { PRESENT, RW, DIRTY, ACCESSED } = PteBit;
const { SPECIAL } = PteSoft;
/** Copies a page and installs the copy without a look whether the entry is still the same. */
const copiesBlindly = mutant("cow-no-recheck");
/** The old page's entry goes without a flush before the copy's comes. */
const copiesUnflushed = mutant("cow-no-flush");
/** Installs a new page over what another fault has put there. */
const installsBlindly = mutant("anon-fault-no-recheck");

const { DONE, RETRY, OOM, SIGBUS, MAJOR } = FaultOutcome;

export interface FaultParts {
  readonly cpu: Cpu;
  readonly pages: PageAllocator;
  readonly tables: PageTables;
  readonly shootdown: Shootdown;
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly mmapLocks: MmapLocks;
  readonly anonVmas: AnonVmas;
  readonly anonPages: AnonPages;
  readonly filePages: FilePages;
  readonly fileFaults: FileFaults;
  readonly rss: Rss;
  readonly stacks: StackGrowth;
  readonly writes: FileWrites;
  readonly mlocks: MlockPages;
  /** The page of zeros that reads of untouched memory share. */
  readonly zeroPage: () => Pfn;
}

export class Faults {
  declare private readonly parts: FaultParts;
  declare private readonly memory: Memory;
  declare private readonly tables: PageTables;

  constructor(parts: FaultParts) {
    this.parts = parts;
    this.memory = parts.cpu.memory;
    this.tables = parts.tables;
  }

  /** A program's fault; throws a `UserSignal` when it cannot be made good.  Linux: do_user_addr_fault.  @may-sleep */
  handle(mm: MmRef, address: number, code: number): void {
    const { mmapLocks, stacks } = this.parts;
    const asked = { mm, address: pageFloor(address), isWrite: (code & PageFault.WRITE) !== 0 };
    let flags: number = FaultFlag.ALLOW_RETRY;
    const own = mmapLocks.lockUnderRcu(mm, address);
    if (own !== 0) {
      const isAllowed = this.allows(own, code);
      const outcome = isAllowed ? this.resolve({ ...asked, area: own, underVmaLock: true, flags }) : DONE;
      if ((outcome & ~MAJOR) !== RETRY) {
        mmapLocks.endRead(own);
        mmapLocks.count(VmEvent.vma_lock_success);
        if (!isAllowed) throw new UserSignal("SEGV", "ACCERR", address);
        this.finish(outcome, address, flags);
        return;
      }
      mmapLocks.count(VmEvent.vma_lock_retry);
      if ((outcome & MAJOR) !== 0) flags |= FaultFlag.TRIED;
    }
    for (;;) {
      const area = stacks.lockAndFind(mm, address);
      if (area === 0) throw new UserSignal("SEGV", "MAPERR", address);
      const isAllowed = this.allows(area, code);
      const outcome = isAllowed ? this.resolve({ ...asked, area, underVmaLock: false, flags }) : DONE;
      if ((outcome & ~MAJOR) === RETRY) {
        flags |= FaultFlag.TRIED;
        continue;
      }
      mmapLocks.readUnlock(mm);
      if (!isAllowed) throw new UserSignal("SEGV", "ACCERR", address);
      this.finish(outcome, address, flags);
      return;
    }
  }

  /**
   * Makes a page of `area` ready for a read or a write, unless it is: a FaultOutcome.  mmap_lock is held for reading, and stays
   * so but for RETRY, which comes of `flags` only.  Linux: faultin_page, handle_mm_fault.
   */
  faultIn(mm: MmRef, area: VmaRef, address: number, isWrite: boolean, flags = 0): number {
    const fault = { mm, area, address, isWrite, underVmaLock: false, flags };
    if (this.isReady(fault)) return DONE;
    const outcome = this.resolve(fault);
    if ((outcome & ~MAJOR) === DONE) this.finish(outcome, address, flags);
    return outcome & ~MAJOR;
  }

  /** Whether an access needs no fault.  Linux: follow_page_mask. */
  private isReady({ mm, address, isWrite }: Fault): boolean {
    const { tables } = this;
    const pmd = tables.pmdOffset(contextOf(mm), address);
    const at = pmd === 0 ? 0 : tables.pteOffsetMapLock(pmd, address);
    if (at === 0) return false;
    const low = tables.pte.get(at);
    tables.pteUnlock(at);
    return (low & PRESENT) !== 0 && (!isWrite || (low & RW) !== 0);
  }

  /** Linux: access_error, with its sense turned round. */
  private allows(area: VmaRef, code: number): boolean {
    const flags = this.memory.read(area + vma.flags);
    if ((code & PageFault.INSTR) !== 0) return (flags & VmFlag.EXEC) !== 0;
    if ((code & PageFault.WRITE) !== 0) return (flags & VmFlag.WRITE) !== 0;
    // A read of a page that is there was refused: it is PROT_NONE.
    return (code & PageFault.PROT) === 0 && (flags & VM_ACCESS) !== 0;
  }

  /** Linux: mm_account_fault, and what the caller does with an error. */
  private finish(outcome: number, address: number, flags: number): void {
    this.parts.pages.vmstat.countEvents(VmEvent.pgfault, 1);
    if (outcome === SIGBUS) throw new UserSignal("BUS", "ADRERR", address);
    if (outcome === OOM) throw new UserSignal("BUS", "OOM", address);
    // Who had to wait without the lock counts as if he had waited for the page to be read.
    const isMajor = (outcome & MAJOR) !== 0 || (flags & FaultFlag.TRIED) !== 0;
    const at = this.parts.cpu.current + (isMajor ? Task.majFlt : Task.minFlt);
    this.memory.write(at, this.memory.read(at) + 1);
  }

  /** Linux: handle_mm_fault, handle_pte_fault. */
  private resolve(fault: Fault): number {
    const { tables } = this;
    const { mm, address, isWrite } = fault;
    const pmd = tables.pmdAlloc(contextOf(mm), address);
    if (pmd === 0) return OOM;
    const seen = tables.pteLockless(pmd, address);
    if (seen === 0 && tables.pte.high === 0) {
      const hasFile = this.memory.read(fault.area + vma.file) !== 0;
      return hasFile ? this.parts.fileFaults.resolve(fault, this) : this.anonymous(fault, pmd);
    }
    const at = tables.pteOffsetMapLock(pmd, address);
    // A table that goes away takes the access with it: it faults again.
    if (at === 0) return DONE;
    const low = tables.pte.get(at);
    // Gone meanwhile: the access is tried again.
    if (low === 0 && tables.pte.high === 0) {
      tables.pteUnlock(at);
      return DONE;
    }
    if (isWrite && (low & RW) === 0) return this.writeProtected(fault, at, low);
    // Another CPU was faster, or this one's TLB still has the old rights.
    const want = ACCESSED | (isWrite ? DIRTY : 0);
    if ((low & want) !== want) tables.pte.change(at, 0, want);
    this.parts.shootdown.flushPageHere(address);
    tables.pteUnlock(at);
    return DONE;
  }

  /** Nothing was there.  Linux: do_anonymous_page. */
  private anonymous(fault: Fault, pmd: Pointer): number {
    const { anonPages, rss, pages } = this.parts;
    const { tables } = this;
    const { mm, area, address } = fault;
    if (!fault.isWrite) return this.mapZeroPage(fault, pmd);
    const prepared = this.prepare(fault);
    if (prepared !== DONE) return prepared;
    const pfn = anonPages.makeZeroed();
    if (pfn === 0) return OOM;
    const at = tables.pteMapLock(contextOf(mm), pmd, address);
    if (at !== 0 && this.isFree(at)) {
      const mayWrite = (this.memory.read(area + vma.flags) & VmFlag.WRITE) !== 0;
      rss.add(mm, RssMember.ANON, 1);
      anonPages.mapNew(pfn, area, address);
      this.set(at, area, pfn, mayWrite ? PageProt.WRITE | DIRTY : PageProt.READ);
      tables.pteUnlock(at);
      return DONE;
    }
    if (at !== 0) this.giveWay(at, address);
    pages.putPage(pfn);
    return at === 0 ? OOM : DONE;
  }

  private mapZeroPage({ mm, area, address }: Fault, pmd: Pointer): number {
    const { tables } = this;
    const at = tables.pteMapLock(contextOf(mm), pmd, address);
    if (at === 0) return OOM;
    if (this.isFree(at)) {
      this.set(at, area, this.parts.zeroPage(), PageProt.READ | SPECIAL);
      tables.pteUnlock(at);
    } else this.giveWay(at, address);
    return DONE;
  }

  /** Whether an entry is still empty, now that its lock is held.  Linux: vmf_pte_changed.  @holds page table lock */
  private isFree(at: Pointer): boolean {
    reached("anon-fault-no-recheck");
    return installsBlindly || this.tables.pte.get(at) === 0;
  }

  /** Another fault's entry stays.  Linux: update_mmu_tlb.  @holds page table lock, and drops it */
  private giveWay(at: Pointer, address: number): void {
    this.parts.shootdown.flushPageHere(address);
    this.tables.pteUnlock(at);
  }

  /** A write where only reading is allowed.  Linux: do_wp_page.  @holds page table lock, and drops it */
  private writeProtected(fault: Fault, at: Pointer, low: number): number {
    const { tables } = this;
    const { anonPages, pages, shootdown } = this.parts;
    const pfn = tables.pte.pfnOf(low);
    const isZero = (low & SPECIAL) !== 0;
    const isShared = (this.memory.read(fault.area + vma.flags) & VmFlag.SHARED) !== 0;
    if (!isZero && isShared && this.parts.writes.wantsNotice(fault.area)) {
      pages.getPage(pfn);
      tables.pteUnlock(at);
      return this.parts.writes.makeWritable(fault, pfn, low);
    }
    if (!isZero && (isShared || (anonPages.isAnon(pfn) && anonPages.canReuse(pfn, fault.area)))) {
      tables.pte.change(at, 0, RW | DIRTY | ACCESSED);
      // Other CPUs that still have the old right fault once more, and find the new one.
      shootdown.flushPageHere(fault.address);
      tables.pteUnlock(at);
      pages.vmstat.countEvents(VmEvent.pgreuse, 1);
      return DONE;
    }
    if (!isZero) pages.getPage(pfn);
    tables.pteUnlock(at);
    return this.copy(fault, isZero ? 0 : pfn, low);
  }

  /** A page of the VMA's own, with what the shared one has (0: zeros).  Linux: wp_page_copy. */
  private copy(fault: Fault, old: Pfn, oldLow: number): number {
    const { tables, memory } = this;
    const { anonPages, filePages, rss, pages, shootdown } = this.parts;
    const { mm, area, address } = fault;
    const prepared = this.prepare(fault);
    const isCopy = old !== 0;
    const fresh = prepared !== DONE ? 0 : isCopy ? anonPages.makeForCopy() : anonPages.makeZeroed();
    if (fresh === 0) {
      if (old !== 0) pages.putPage(old);
      return prepared === DONE ? OOM : prepared;
    }
    if (isCopy) memory.copy(frameOf(fresh), frameOf(old), FRAME_WORDS);
    const pmd = tables.pmdOffset(contextOf(mm), address);
    const at = pmd === 0 ? 0 : tables.pteOffsetMapLock(pmd, address);
    reached("cow-no-recheck");
    const isSame = at !== 0 && ((tables.pte.get(at) ^ oldLow) & ~(ACCESSED | DIRTY)) === 0;
    if (at !== 0 && (isSame || copiesBlindly)) {
      // First no entry, then a flush, then the new one: nobody has both pages at one address.
      tables.pte.take(at);
      reached("cow-no-flush");
      if (!copiesUnflushed) shootdown.flushPage(contextOf(mm), address);
      const isCopyOfFile = old !== 0 && !anonPages.isAnon(old);
      if (old === 0 || isCopyOfFile) rss.add(mm, RssMember.ANON, 1);
      if (isCopyOfFile) rss.add(mm, RssMember.SHMEM, -1);
      anonPages.mapNew(fresh, area, address);
      this.set(at, area, fresh, PageProt.WRITE | DIRTY);
      if (old !== 0) {
        if (isCopyOfFile) filePages.unmap(old);
        else anonPages.unmap(old);
        this.parts.mlocks.removed(old, area);
        pages.putPage(old);
      }
    } else pages.putPage(fresh);
    if (at !== 0) tables.pteUnlock(at);
    if (old !== 0) pages.putPage(old);
    return DONE;
  }

  /** Linux: vmf_anon_prepare. */
  prepare({ mm, area, underVmaLock }: Fault): number {
    const { anonVmas, merge, mmapLocks } = this.parts;
    if (this.memory.load(area + vma.anonVma) !== 0) return DONE;
    // Neighbours may only be looked at with mmap_lock.
    if (underVmaLock && !mmapLocks.tryReadLock(mm)) {
      mmapLocks.endRead(area);
      return RETRY;
    }
    const isPrepared = anonVmas.prepare(area, merge.reusableAnonVma(mm, area));
    if (underVmaLock) mmapLocks.readUnlock(mm);
    return isPrepared ? DONE : OOM;
  }

  /** @holds page table lock */
  set(at: Pointer, area: VmaRef, pfn: Pfn, bits: number): void {
    const nx = (this.memory.read(area + vma.flags) & VmFlag.EXEC) === 0 ? PTE_HIGH_NX : 0;
    this.tables.pte.set(at, entryLow(pfn, bits), entryHigh(pfn, nx));
  }
}
