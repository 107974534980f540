/**
 * mmap_lock, and the locks of single VMAs under it, in the form of Linux 6.12.
 *
 *   fault     looks the VMA up in an RCU section and tries its read lock: neither waits, and mmap_lock is not touched
 *   writer    holds mmap_lock for writing; before it changes a VMA it waits for that VMA's readers and writes mm.lockSeq
 *             into vma.lockSeq.  All VMAs so marked are free again when mm.lockSeq grows, as mmap_lock is given up
 *
 * A reader compares the two sequence numbers before it takes the lock, so that it need not try where it cannot succeed, and
 * after, since a writer may have come and gone with the lock in between.
 *
 * With the shape's `vmaLock` "off" there is mmap_lock alone, as before Linux 6.4: no VMA is ever locked.
 *
 * Linux: include/linux/mm.h vma_start_read, vma_start_write, mm/memory.c lock_vma_under_rcu, include/linux/mmap_lock.h.
 */

import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { shape } from "../memory/shape.ts";
import type { Rcu } from "../sync/rcu.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import type { MapleTrees } from "./maple-tree.ts";
import { type MmRef, MmStruct, VmArea, VmaLock, type VmaRef } from "./vm-area.ts";

const vma = VmArea;
const mm = MmStruct;
const locksVmas = shape.vmaLock !== "off";
/** A reader does not look at the sequence again when it has the lock. */
const looksOnce = mutant("vma-lock-no-recheck");
/** Who changes a VMA does not wait for the faults that hold it. */
const waitsForNone = mutant("vma-write-no-wait");

export class MmapLocks {
  declare private readonly memory: Memory;
  declare private readonly rwsems: RwSemaphores;
  declare private readonly rcu: Rcu;
  declare private readonly trees: MapleTrees;

  constructor(parts: { memory: Memory; rwsems: RwSemaphores; rcu: Rcu; mapleTrees: MapleTrees }) {
    this.memory = parts.memory;
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

  // ---- single VMAs ----

  /**
   * The VMA around `address`, read-locked, or 0: there is none, or it is being changed, or this cannot be told without
   * mmap_lock.  Linux: lock_vma_under_rcu.
   */
  lockUnderRcu(at: MmRef, address: number): VmaRef {
    if (!locksVmas) return 0;
    const { memory, rcu, trees } = this;
    rcu.readLock();
    let found: VmaRef;
    for (;;) {
      found = trees.at(at + mm.tree, address);
      if (found === 0 || !this.startRead(found)) {
        found = 0;
        break;
      }
      if (memory.load(found + vma.detached) === 0) break;
      // It left the tree after it was found; another may be there now.
      this.endRead(found);
    }
    // It may have shrunk before it was locked.
    if (found !== 0 && !this.isAround(found, address)) {
      this.endRead(found);
      found = 0;
    }
    rcu.readUnlock();
    return found;
  }

  /** Linux: vma_start_read.  @rcu read */
  startRead(at: VmaRef): boolean {
    const { memory, rwsems } = this;
    const mmAt = memory.read(at + vma.mm);
    if (memory.load(at + vma.lockSeq) === memory.load(mmAt + mm.lockSeq)) return false;
    const sem = memory.read(at + vma.lock) + VmaLock.sem;
    if (!rwsems.tryReadLock(sem)) return false;
    reached("vma-lock-no-recheck");
    if (!looksOnce && memory.load(at + vma.lockSeq) === memory.load(mmAt + mm.lockSeq)) {
      rwsems.readUnlock(sem);
      return false;
    }
    return true;
  }

  /** Linux: vma_end_read. */
  endRead(at: VmaRef): void {
    this.rwsems.readUnlock(this.memory.read(at + vma.lock) + VmaLock.sem);
  }

  /** Waits for the VMA's readers; none comes until mmap_lock is given up.  Linux: vma_start_write.  @holds mmap_lock */
  startWrite(at: VmaRef): void {
    if (!locksVmas) return;
    const { memory, rwsems } = this;
    const sequence = memory.read(memory.read(at + vma.mm) + mm.lockSeq);
    if (memory.read(at + vma.lockSeq) === sequence) return;
    const sem = memory.read(at + vma.lock) + VmaLock.sem;
    reached("vma-write-no-wait");
    if (!waitsForNone) rwsems.writeLock(sem);
    memory.store(at + vma.lockSeq, sequence);
    if (!waitsForNone) rwsems.writeUnlock(sem);
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
