/**
 * mmap_lock, and the locks of single VMAs under it.
 *
 *   fault     looks the VMA up in an RCU section and tries its read lock: neither waits, and mmap_lock is not touched
 *   writer    holds mmap_lock for writing; before it changes a VMA it waits for that VMA's readers and writes mm.lockSeq
 *             into vma.lockSeq.  All VMAs so marked are free again when mm.lockSeq grows, as mmap_lock is given up
 *
 * A reader compares the two sequence numbers before it takes the lock, so that it need not try where it cannot succeed, and
 * after, since a writer may have come and gone with the lock in between.
 *
 * The lock itself is a semaphore of the VMA's own, as in Linux 6.12, or with the shape's `vmaLock` "6.18" a count of
 * references: see vma-refcount.ts.  With `vmaLock` "off" there is mmap_lock alone, as before Linux 6.4: no VMA is ever locked.
 *
 * Linux: include/linux/mm.h vma_start_read, vma_start_write, mm/memory.c lock_vma_under_rcu, include/linux/mmap_lock.h.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { shape } from "../memory/shape.ts";
import { VmEvent } from "../mm/pages/counters.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import type { Vmstat } from "../mm/pages/vmstat.ts";
import type { Rcu } from "../sync/rcu.ts";
import { checkRwsem, type RwSemaphores } from "../sync/rwsem.ts";
import type { WaitQueues } from "../sync/wait-queue.ts";
import type { Fault } from "./fault.ts";
import type { MapleTrees } from "./maple-tree.ts";
import { type MmRef, MmStruct, VmArea, VmaLock, type VmaRef } from "./vm-area.ts";
import { ReadResult, VmaRefcounts } from "./vma-refcount.ts";

const vma = VmArea;
const mm = MmStruct;
const locksVmas = shape.vmaLock !== "off";
const countsReaders = shape.vmaLock === "6.18";
/** A reader does not look at the sequence again when it has the lock. */
const looksOnce = mutant("vma-lock-no-recheck");
/** Who changes a VMA does not wait for the faults that hold it. */
const waitsForNone = mutant("vma-write-no-wait");

export class MmapLocks {
  declare private readonly memory: Memory;
  declare private readonly rwsems: RwSemaphores;
  declare private readonly rcu: Rcu;
  declare private readonly trees: MapleTrees;

  declare private readonly counts: VmaRefcounts;
  declare private readonly vmstat: Vmstat;

  constructor(parts: {
    readonly cpu: Cpu;
    readonly rwsems: RwSemaphores;
    readonly rcu: Rcu;
    readonly mapleTrees: MapleTrees;
    readonly waitQueues: WaitQueues;
    readonly pages: PageAllocator;
    /** Gives a reference to an address space back. */
    readonly dropMm: (at: MmRef) => void;
  }) {
    this.memory = parts.cpu.memory;
    this.vmstat = parts.pages.vmstat;
    this.counts = new VmaRefcounts(parts.cpu, parts.waitQueues.sleepers, parts.dropMm);
    this.rwsems = parts.rwsems;
    this.rcu = parts.rcu;
    this.trees = parts.mapleTrees;
  }

  // ---- the whole address space ----

  /** Linux: mmap_read_lock.  @may-sleep */
  readLock(at: MmRef): void {
    this.rwsems.readLock(at + mm.mmapLock);
  }
  tryReadLock(at: MmRef): boolean {
    return this.rwsems.tryReadLock(at + mm.mmapLock);
  }
  readUnlock(at: MmRef): void {
    this.rwsems.readUnlock(at + mm.mmapLock);
  }
  /** Linux: mmap_write_lock.  @may-sleep */
  writeLock(at: MmRef): void {
    this.rwsems.writeLock(at + mm.mmapLock);
  }
  /** Frees all VMAs that were write-locked, too.  Linux: mmap_write_unlock. */
  writeUnlock(at: MmRef): void {
    this.endVmaWrites(at);
    this.rwsems.writeUnlock(at + mm.mmapLock);
  }
  /** Linux: mmap_write_downgrade. */
  downgrade(at: MmRef): void {
    this.endVmaWrites(at);
    this.rwsems.downgrade(at + mm.mmapLock);
  }
  assertWriteHeld(at: MmRef): void {
    this.rwsems.assertWriteHeld(at + mm.mmapLock);
  }

  /** The lock that a fault holds.  Linux: release_fault_lock. */
  giveUp({ mm: at, area, underVmaLock }: Fault): void {
    if (underVmaLock) this.endRead(area);
    else this.readUnlock(at);
  }

  // ---- single VMAs ----

  /**
   * The VMA around `address`, read-locked, or 0: there is none, or it is being changed, or this cannot be told without
   * mmap_lock.  Linux: lock_vma_under_rcu.
   */
  lockUnderRcu(at: MmRef, address: number): VmaRef {
    if (!locksVmas) return 0;
    const { rcu } = this;
    rcu.readLock();
    let found = countsReaders ? this.findCounted(at, address) : this.findLocked(at, address);
    // It may have shrunk before it was locked.
    if (found !== 0 && !this.isAround(found, address)) {
      this.endRead(found);
      found = 0;
    }
    rcu.readUnlock();
    if (found === 0) this.vmstat.countEvents(VmEvent.vma_lock_abort, 1);
    return found;
  }

  private findLocked(at: MmRef, address: number): VmaRef {
    for (;;) {
      const found = this.trees.at(at + mm.tree, address);
      if (found === 0 || !this.startRead(at, found)) return 0;
      if (this.memory.load(found + vma.detached) === 0) return found;
      // It left the tree after it was found; another may be there now.
      this.endRead(found);
      this.vmstat.countEvents(VmEvent.vma_lock_miss, 1);
    }
  }

  private findCounted(at: MmRef, address: number): VmaRef {
    for (;;) {
      const found = this.trees.at(at + mm.tree, address);
      const result = found === 0 ? ReadResult.BUSY : this.counts.startRead(at, found);
      if (result !== ReadResult.DETACHED) return result === ReadResult.LOCKED ? found : 0;
      this.vmstat.countEvents(VmEvent.vma_lock_miss, 1);
    }
  }

  /** Tries the lock of a VMA that was found in the tree of `of`.  Linux: vma_start_read.  @rcu read */
  startRead(of: MmRef, at: VmaRef): boolean {
    if (countsReaders) return this.counts.startRead(of, at) === ReadResult.LOCKED;
    const { memory, rwsems } = this;
    if (memory.load(at + vma.lockSeq) === memory.load(of + mm.lockSeq)) return false;
    const sem = memory.read(at + vma.lock) + VmaLock.sem;
    if (!rwsems.tryReadLock(sem)) return false;
    reached("vma-lock-no-recheck");
    if (!looksOnce && memory.load(at + vma.lockSeq) === memory.load(of + mm.lockSeq)) {
      rwsems.readUnlock(sem);
      return false;
    }
    return true;
  }

  /** How the lock of a VMA served a fault: one of the VmEvents vma_lock_*. */
  count(event: number): void {
    if (locksVmas) this.vmstat.countEvents(event, 1);
  }

  /** Linux: vma_end_read. */
  endRead(at: VmaRef): void {
    if (countsReaders) {
      this.counts.endRead(at);
      return;
    }
    this.rwsems.readUnlock(this.memory.read(at + vma.lock) + VmaLock.sem);
  }

  /** Waits for the VMA's readers; none comes until mmap_lock is given up.  Linux: vma_start_write.  @holds mmap_lock */
  startWrite(at: VmaRef): void {
    if (!locksVmas) return;
    const { memory, rwsems } = this;
    const sequence = memory.read(memory.read(at + vma.mm) + mm.lockSeq);
    if (memory.read(at + vma.lockSeq) === sequence) return;
    if (countsReaders) {
      this.counts.startWrite(at, sequence);
      return;
    }
    const sem = memory.read(at + vma.lock) + VmaLock.sem;
    reached("vma-write-no-wait");
    if (!waitsForNone) rwsems.writeLock(sem);
    memory.store(at + vma.lockSeq, sequence);
    if (!waitsForNone) rwsems.writeUnlock(sem);
  }

  /** The VMA is about to be in the tree.  Linux: vma_mark_attached.  @holds mmap_lock */
  attach(at: VmaRef): void {
    if (countsReaders) this.counts.attach(at);
    else this.memory.store(at + vma.detached, 0);
  }

  /** Nobody has the VMA locked, or can lock it any more.  Linux: vma_mark_detached.  @holds mmap_lock */
  detach(at: VmaRef): void {
    this.startWrite(at);
    if (countsReaders) this.counts.detach(at);
    else this.memory.store(at + vma.detached, 1);
  }

  isDetached(at: VmaRef): boolean {
    return countsReaders ? this.counts.isDetached(at) : this.memory.load(at + vma.detached) !== 0;
  }

  /** A VMA in a tree, at rest. */
  checkVma(at: VmaRef): void {
    if (countsReaders) this.counts.check(at);
    else checkRwsem(this.memory, this.memory.read(at + vma.lock) + VmaLock.sem);
  }

  private isAround(at: VmaRef, address: number): boolean {
    const { memory } = this;
    return memory.readFloat64(at + vma.start) <= address && address < memory.readFloat64(at + vma.end);
  }

  /** Linux: vma_end_write_all.  @holds mmap_lock */
  private endVmaWrites(at: MmRef): void {
    if (!locksVmas) return;
    const { memory } = this;
    memory.store(at + mm.lockSeq, (memory.read(at + mm.lockSeq) + 1) | 0);
  }
}
