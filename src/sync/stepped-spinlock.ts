/**
 * The default lock where nothing but its count is recorded: its common case is two steps of the memory, one to take a
 * free lock and one to give back a lock that nobody waits for.  Everything else is `SpinLocks` with the same words.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { bug } from "../memory/bug.ts";
import { type LockSteps, NOT_OWNER } from "../memory/lock-steps.ts";
import { shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";
import { timing } from "./lock-stat.ts";
import { QueueWord } from "./queue-node.ts";
import { SpinLock, type SpinLockSlots, SpinLocks } from "./spinlock.ts";

const { LOCKED } = QueueWord;
/** What the steps of the memory take for granted. */
const { value, owner, classId } = SpinLock;
if (value !== 0 || owner !== 2 || classId !== 3)
  bug(`spinlock: owner is word ${owner}, class word ${classId}`);

/** The lock engine of this worker's shape. */
export function spinLocksOf(cpu: Cpu, slots: SpinLockSlots): SpinLocks {
  const isStepped = shape.lock === "pv" && shape.mode === "parallel" && !timing;
  const steps = cpu.memory.lockSteps;
  return isStepped && steps !== undefined
    ? new SteppedSpinLocks(cpu, slots, steps)
    : new SpinLocks(cpu, slots);
}

export class SteppedSpinLocks extends SpinLocks {
  declare private readonly steps: LockSteps;
  declare private readonly counts: Pointer;

  constructor(cpu: Cpu, slots: SpinLockSlots, steps: LockSteps) {
    super(cpu, slots, { kind: "pv" });
    this.steps = steps;
    this.counts = this.stats.counts;
  }

  override lock(lock: Pointer): void {
    this.cpu.preemptDisable();
    if (this.steps.take(lock, this.self, this.counts) === 0) this.lockContended(lock);
  }

  override tryLock(lock: Pointer): boolean {
    this.cpu.preemptDisable();
    if (this.steps.take(lock, this.self, this.counts) !== 0) return true;
    this.cpu.preemptEnable();
    return false;
  }

  override unlock(lock: Pointer): void {
    const before = this.steps.give(lock, this.self);
    if (before !== LOCKED) this.unlockContended(lock, before);
    this.cpu.preemptEnable();
  }

  private lockContended(lock: Pointer): void {
    this.lockSlow(lock);
    this.becomeOwner(lock);
  }

  private unlockContended(lock: Pointer, before: number): void {
    if (before === NOT_OWNER) this.reportNotHeld(lock);
    this.algorithm.unlock(lock);
  }
}
