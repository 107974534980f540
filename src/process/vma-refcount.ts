/**
 * The lock of a VMA in the form of Linux 6.15 and later: a count of references.
 *
 *   (writer, attached, readers)       0 detached: in no tree, cannot be locked
 *
 *   mark attached   0,0,0 -> 0,1,0
 *   reader in       0,1,r -> 0,1,r+1        fails while there is a writer
 *   reader out      w,1,r -> w,1,r-1        the last one under a writer wakes it
 *   writer in       0,a,r -> 1,a,r          waits at a place of its mm's until no reader is left
 *   writer out      1,a,0 -> 0,a,0          it has written mm.lockSeq meanwhile, which keeps readers out until mmap_lock goes
 *   mark detached   0,1,0 -> 0,0,0          and if a reader is just looking: 0,1,r -> 0,0,r -> 1,0,r -> 1,0,0 -> 0,0,0
 *
 * VMAs are freed at once and may be given out again while somebody looks at them: their memory stays of their type until a
 * grace period is over (TYPESAFE_BY_RCU).  So a reader that got in looks again whose VMA it has.
 *
 * Linux: include/linux/mmap_lock.h vma_start_read, vma_refcount_put, vma_mark_attached; mm/mmap_lock.c __vma_enter_locked,
 * vma_mark_detached.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { rcuWaitEvent, rcuWaitWake } from "../sync/rcuwait.ts";
import type { Sleepers } from "../sync/sleeper.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "./vm-area.ts";

const vma = VmArea;
const mm = MmStruct;
/** Linux: VMA_LOCK_OFFSET: a writer; VMA_REF_LIMIT: no reader comes in from here on. */
const WRITER = 0x4000_0000;
const LIMIT = WRITER - 2;

/** How a reader fared. */
export const ReadResult = { LOCKED: 0, BUSY: 1, DETACHED: 2 } as const;

/** A reader does not look whether the VMA is still of the address space where it was found. */
const trustsOwner = mutant("vma-refcount-no-owner-check");
/** A reader does not look at the sequence again when it is in. */
const looksOnce = mutant("vma-lock-no-recheck");
/** A writer goes ahead while readers are in. */
const ignoresReaders = mutant("vma-refcount-no-wait");

export class VmaRefcounts {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly sleepers: Sleepers;
  /** Keeps another address space alive for a moment: see `startRead`. */
  declare private readonly dropMm: (at: MmRef) => void;

  constructor(cpu: Cpu, sleepers: Sleepers, dropMm: (at: MmRef) => void) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.sleepers = sleepers;
    this.dropMm = dropMm;
  }

  /** A ReadResult, for a VMA that was found in the tree of `of`.  Linux: vma_start_read.  @rcu read */
  startRead(of: MmRef, at: VmaRef): number {
    const { memory } = this;
    if (memory.load(at + vma.lockSeq) === memory.load(of + mm.lockSeq)) return ReadResult.BUSY;
    for (let count = memory.load(at + vma.refcount); ; ) {
      if (count === 0) return ReadResult.DETACHED;
      if (count >= LIMIT) return ReadResult.BUSY;
      const before = memory.cas(at + vma.refcount, count, count + 1);
      if (before === count) break;
      count = before;
    }
    const owner = memory.read(at + vma.mm);
    reached("vma-refcount-no-owner-check");
    if (owner !== of && !trustsOwner) {
      // Its memory was given out anew.  A writer there may wait for this reader: that address space must not end yet.
      memory.add(owner + mm.count, 1);
      this.endRead(at);
      this.dropMm(owner);
      return ReadResult.BUSY;
    }
    reached("vma-lock-no-recheck");
    if (looksOnce || memory.load(at + vma.lockSeq) !== memory.load(of + mm.lockSeq)) return ReadResult.LOCKED;
    this.endRead(at);
    return ReadResult.BUSY;
  }

  /** Linux: vma_refcount_put. */
  endRead(at: VmaRef): void {
    const { memory } = this;
    // From the decrement on the VMA may be anything.
    const of = memory.read(at + vma.mm);
    const left = memory.add(at + vma.refcount, -1) - 1;
    if (left < 0) bug(`the VMA at word ${at} is unlocked by more readers than have locked it`);
    if ((left & WRITER) !== 0 && left <= WRITER + 1) rcuWaitWake(this.cpu, this.sleepers, of + mm.vmaWriter);
  }

  /** Linux: __vma_start_write.  @holds mmap_lock */
  startWrite(at: VmaRef, sequence: number): void {
    const { memory } = this;
    const isIn = this.enter(at, 1);
    memory.store(at + vma.lockSeq, sequence);
    if (isIn && this.exit(at)) bug(`the VMA at word ${at} is detached under its writer`);
  }

  /** It can be found and locked from here on.  Linux: vma_mark_attached.  @holds mmap_lock */
  attach(at: VmaRef): void {
    if (this.memory.load(at + vma.refcount) !== 0) bug(`the VMA at word ${at} is attached twice`);
    this.memory.store(at + vma.refcount, 1);
  }

  /** Nobody has it locked, and nobody can any more.  Linux: vma_mark_detached.  @holds mmap_lock */
  detach(at: VmaRef): void {
    // Readers may have come that have not looked at the sequence yet.
    if (this.memory.add(at + vma.refcount, -1) === 1) return;
    if (this.enter(at, 0) && !this.exit(at)) bug(`the VMA at word ${at} has readers, and is detached`);
  }

  isDetached(at: VmaRef): boolean {
    return this.memory.load(at + vma.refcount) === 0;
  }

  /** At rest: in a tree, with no reader and no writer. */
  check(at: VmaRef): void {
    const count = this.memory.load(at + vma.refcount);
    if (count !== 1) bug(`V1 VMA at word ${at}: its count is 0x${count.toString(16)}, at rest it is 1`);
  }

  /** False when it is detached: nobody can be in.  Linux: __vma_enter_locked. */
  private enter(at: VmaRef, attached: number): boolean {
    const { memory } = this;
    for (let count = memory.load(at + vma.refcount); ; ) {
      if (count === 0) return false;
      const before = memory.cas(at + vma.refcount, count, count + WRITER);
      if (before === count) break;
      count = before;
    }
    reached("vma-refcount-no-wait");
    if (ignoresReaders) return true;
    const of = memory.read(at + vma.mm);
    if (memory.load(at + vma.refcount) !== WRITER + attached)
      rcuWaitEvent(
        this.cpu,
        this.sleepers,
        of + mm.vmaWriter,
        () => memory.load(at + vma.refcount) === WRITER + attached,
      );
    return true;
  }

  /** Whether it was the last reference.  Linux: __vma_exit_locked. */
  private exit(at: VmaRef): boolean {
    return this.memory.add(at + vma.refcount, -WRITER) === WRITER;
  }
}
