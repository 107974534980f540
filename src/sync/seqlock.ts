/**
 * Sequence counters and sequence locks: readers take nothing, and read again when a writer was there.
 *
 *   sequence:  even --writeBegin--> odd --writeEnd--> even + 2
 *
 *   do {
 *     const start = seqlocks.readBegin(at);
 *     ... read with memory.load ...
 *   } while (seqlocks.readRetry(at, start));
 *
 * What a reader reads inside may be half written: it uses nothing of it before `readRetry` has answered false.  Its reads
 * are marked ones, since they race with the writer's by design.
 *
 * Invariants
 *   I1  the sequence is odd exactly while a writer is inside
 *   I2  a reader whose readRetry answers false has seen no writer's work in part
 *   I3  a writer is not preempted inside, and no interrupt on its CPU reads: it would wait for ever
 *
 * Survives over-subscription as its spinlock does.  Linux: include/linux/seqlock.h.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { embed, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";

export const SeqLock = struct("seqlock", {
  sequence: word("atomic", "counter"),
  pad: word("boot"),
  lock: embed(SpinLock, "atomic"),
});

const seqlock = SeqLock;
const ODD = 1;
const readsOdd = mutant("seqlock-reads-odd");

/** A sequence counter whose writers are serialised by the caller.  One word anywhere in RAM. */
export class SeqCounts {
  protected readonly cpu: Cpu;
  protected readonly memory: Memory;

  constructor(cpu: Cpu) {
    this.cpu = cpu;
    this.memory = cpu.memory;
  }

  /** Waits until no writer is inside; returns the sequence to compare with.  Linux: read_seqcount_begin. */
  readBegin(sequence: Pointer): number {
    const { memory } = this;
    for (;;) {
      const start = memory.load(sequence);
      reached("seqlock-reads-odd");
      if ((start & ODD) === 0 || readsOdd) return start;
      memory.waitWhile(sequence, ODD, ODD);
    }
  }

  /** The sequence as it is, odd or even: the reader has other means when a writer is inside.  Linux: raw_read_seqcount. */
  readRaw(sequence: Pointer): number {
    return this.memory.load(sequence);
  }

  /** Whether what was read since `start` is worthless.  Linux: read_seqcount_retry. */
  readRetry(sequence: Pointer, start: number): boolean {
    return this.memory.load(sequence) !== start;
  }

  /** n -> n+1 (odd).  @holds the writers' lock */
  writeBegin(sequence: Pointer): void {
    const { memory } = this;
    this.cpu.preemptDisable();
    const before = memory.load(sequence);
    if ((before & ODD) !== 0)
      bug(`cpu ${this.cpu.id}: sequence at word ${sequence} is ${before}: a writer is already inside`);
    memory.store(sequence, (before + 1) | 0);
  }

  /** n -> n+1 (even). */
  writeEnd(sequence: Pointer): void {
    const { memory } = this;
    memory.store(sequence, (memory.load(sequence) + 1) | 0);
    memory.wake(sequence);
    this.cpu.preemptEnable();
  }
}

/** A sequence counter with the spinlock that serialises its writers. */
export class SeqLocks extends SeqCounts {
  private readonly locks: SpinLocks;

  constructor(cpu: Cpu, locks: SpinLocks) {
    super(cpu);
    this.locks = locks;
  }

  /** Writes a free lock.  Linux: seqlock_init. */
  format(lock: Pointer, classId: number): void {
    this.memory.store(lock + seqlock.sequence, 0);
    this.locks.format(lock + seqlock.lock, classId);
  }

  /** Linux: write_seqlock. */
  writeLock(lock: Pointer): void {
    this.locks.lock(lock + seqlock.lock);
    this.writeBegin(lock + seqlock.sequence);
  }

  writeUnlock(lock: Pointer): void {
    this.writeEnd(lock + seqlock.sequence);
    this.locks.unlock(lock + seqlock.lock);
  }

  /** Linux: write_seqlock_irqsave. */
  writeLockIrqSave(lock: Pointer): number {
    const flags = this.cpu.irqSave();
    this.writeLock(lock);
    return flags;
  }

  writeUnlockIrqRestore(lock: Pointer, flags: number): void {
    this.writeUnlock(lock);
    this.cpu.irqRestore(flags);
  }

  /** Keeps writers out: for a reader that must not read again.  Linux: read_seqlock_excl. */
  readLockExclusive(lock: Pointer): void {
    this.locks.lock(lock + seqlock.lock);
  }

  readUnlockExclusive(lock: Pointer): void {
    this.locks.unlock(lock + seqlock.lock);
  }
}

/** Checks I1 at rest: no writer is inside. */
export function checkSeqLock(memory: Memory, lock: Pointer): void {
  const sequence = memory.load(lock + seqlock.sequence);
  if ((sequence & ODD) !== 0) bug(`I1: seqlock at word ${lock} at rest has sequence ${sequence}`);
}
