/**
 * One critical section under each kind of lock, behind one interface, so that a loop over it does not know the kind.
 *
 * Locks that tell readers from writers let readers share; the others take readers as writers.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import type { Pointer } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { REFUSED } from "../../sync/spinlock.ts";
import type { GuardedPair } from "./guarded-pair.ts";

export interface Section {
  /** One whole section that writes, or reads. */
  write(): void;
  read(): void;
  /** Takes the lock for writing, and gives it back: for sections that hold several. */
  enter(): void;
  /** As `enter`, but only if nobody is inside; a sequence lock always gets in. */
  tryEnter(): boolean;
  leave(): void;
  /** The pair that the lock guards. */
  readonly pair: GuardedPair;
}

export const SECTION_KINDS = [
  "spin",
  "spin-irq",
  "rwlock",
  "seqlock",
  "mutex",
  "rwsem",
  "semaphore",
] as const;
export type SectionKind = (typeof SECTION_KINDS)[number];
/** Words that a lock of any kind fits into. */
export const LOCK_WORDS = 64;

const { TEST_A, TEST_B, TEST_C, TEST_D, TEST_E } = LockClass;

/** Writes a free lock of `kind` at `lock`. */
export function formatLock(kernel: Kernel, kind: SectionKind, lock: Pointer): void {
  switch (kind) {
    case "spin":
    case "spin-irq":
      return kernel.spin.format(lock, TEST_A);
    case "rwlock":
      return kernel.rwlocks.format(lock, TEST_B);
    case "seqlock":
      return kernel.seqlocks.format(lock, TEST_C);
    case "mutex":
      return kernel.mutexes.format(lock, TEST_D);
    case "rwsem":
      return kernel.rwsems.format(lock, TEST_E);
    case "semaphore":
      return kernel.semaphores.format(lock, 1);
  }
}

/** This CPU's section over the lock at `lock`. */
export function sectionOf(kernel: Kernel, kind: SectionKind, lock: Pointer, pair: GuardedPair): Section {
  switch (kind) {
    case "spin":
      return new SpinSection(kernel, lock, pair);
    case "spin-irq":
      return new SpinIrqSection(kernel, lock, pair);
    case "rwlock":
      return new RwLockSection(kernel, lock, pair);
    case "seqlock":
      return new SeqLockSection(kernel, lock, pair);
    case "mutex":
      return new MutexSection(kernel, lock, pair);
    case "rwsem":
      return new RwSemSection(kernel, lock, pair);
    case "semaphore":
      return new SemaphoreSection(kernel, lock, pair);
  }
}

/** A section whose readers are writers to the lock, unless `read` says otherwise. */
abstract class LockedSection implements Section {
  protected readonly kernel: Kernel;
  protected readonly lock: Pointer;
  readonly pair: GuardedPair;

  constructor(kernel: Kernel, lock: Pointer, pair: GuardedPair) {
    this.kernel = kernel;
    this.lock = lock;
    this.pair = pair;
  }

  abstract enter(): void;
  abstract leave(): void;

  tryEnter(): boolean {
    this.enter();
    return true;
  }

  write(): void {
    this.enter();
    this.pair.update();
    this.leave();
  }

  read(): void {
    this.enter();
    this.pair.look();
    this.leave();
  }
}

class SpinSection extends LockedSection {
  enter(): void {
    this.kernel.spin.lock(this.lock);
  }
  override tryEnter(): boolean {
    return this.kernel.spin.tryLock(this.lock);
  }
  leave(): void {
    this.kernel.spin.unlock(this.lock);
  }
}

class SpinIrqSection extends LockedSection {
  private irqs = 0;

  enter(): void {
    this.irqs = this.kernel.spin.lockIrqSave(this.lock);
  }
  override tryEnter(): boolean {
    const irqs = this.kernel.spin.tryLockIrqSave(this.lock);
    if (irqs === REFUSED) return false;
    this.irqs = irqs;
    return true;
  }
  leave(): void {
    this.kernel.spin.unlockIrqRestore(this.lock, this.irqs);
  }
}

class RwLockSection extends LockedSection {
  enter(): void {
    this.kernel.rwlocks.writeLock(this.lock);
  }
  override tryEnter(): boolean {
    return this.kernel.rwlocks.tryWriteLock(this.lock);
  }
  leave(): void {
    this.kernel.rwlocks.writeUnlock(this.lock);
  }

  override read(): void {
    this.kernel.rwlocks.readLock(this.lock);
    this.pair.look();
    this.kernel.rwlocks.readUnlock(this.lock);
  }
}

class SeqLockSection extends LockedSection {
  enter(): void {
    this.kernel.seqlocks.writeLock(this.lock);
  }
  leave(): void {
    this.kernel.seqlocks.writeUnlock(this.lock);
  }

  override read(): void {
    const { seqlocks } = this.kernel;
    for (;;) {
      const start = seqlocks.readBegin(this.lock);
      const difference = this.pair.difference();
      if (seqlocks.readRetry(this.lock, start)) continue;
      if (difference !== 0)
        bug(`a sequence reader was told that words that differ by ${difference} are whole`);
      return;
    }
  }
}

class MutexSection extends LockedSection {
  enter(): void {
    this.kernel.mutexes.lock(this.lock);
  }
  override tryEnter(): boolean {
    return this.kernel.mutexes.tryLock(this.lock);
  }
  leave(): void {
    this.kernel.mutexes.unlock(this.lock);
  }
}

class RwSemSection extends LockedSection {
  enter(): void {
    this.kernel.rwsems.writeLock(this.lock);
  }
  override tryEnter(): boolean {
    return this.kernel.rwsems.tryWriteLock(this.lock);
  }
  leave(): void {
    this.kernel.rwsems.writeUnlock(this.lock);
  }

  override read(): void {
    this.kernel.rwsems.readLock(this.lock);
    this.pair.look();
    this.kernel.rwsems.readUnlock(this.lock);
  }
}

class SemaphoreSection extends LockedSection {
  enter(): void {
    this.kernel.semaphores.down(this.lock);
  }
  override tryEnter(): boolean {
    return this.kernel.semaphores.tryDown(this.lock);
  }
  leave(): void {
    this.kernel.semaphores.up(this.lock);
  }
}
