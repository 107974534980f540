/**
 * A node's barn: full and empty sheaves for its CPUs to exchange theirs for.
 *
 * Invariants, while barn.lock is free (check-sheaves tests them)
 *   B1  nrFull and nrEmpty are the lengths of the lists, and at most MAX_FULL_SHEAVES and MAX_EMPTY_SHEAVES
 *   B2  every sheaf of the full list holds as many objects as its capacity, every one of the empty list none
 *   B3  a sheaf is in one place: a CPU's main or spare, one list of one barn, or a caller who asked for a prefilled one
 *
 * Linux 6.18: mm/slub.c barn_get_empty_sheaf, barn_put_empty_sheaf, barn_put_full_sheaf, barn_replace_empty_sheaf,
 * barn_replace_full_sheaf.  Differs: the limits hold for every way in, under the lock; who is refused frees or flushes.
 */

import type { Cpu } from "../../../hardware/cpu.ts";
import type { Memory } from "../../../memory/memory.ts";
import { mutant, reached } from "../../../memory/mutants.ts";
import type { Pointer } from "../../../memory/units.ts";
import { LockClass } from "../../../sync/lock-class.ts";
import type { SpinLocks } from "../../../sync/spinlock.ts";
import { Barn, MAX_EMPTY_SHEAVES, MAX_FULL_SHEAVES, Sheaf, type SheafRef } from "./structures.ts";

const barnField = Barn;
const sheafField = Sheaf;
/** A barn's lists are changed without its lock. */
const unlocked = mutant("barn-unlocked");
/** There are as many full sheaves as a barn keeps.  Linux: -E2BIG. */
export const TOO_MANY = -1;

export class Barns {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly locks: SpinLocks;

  constructor(cpu: Cpu, locks: SpinLocks) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.locks = locks;
  }

  /** The words at `barn` are 0. */
  format(barn: Pointer): void {
    this.locks.format(barn + barnField.lock, LockClass.NODE_BARN);
  }

  /** An empty sheaf, or 0. */
  getEmpty(barn: Pointer): SheafRef {
    if (this.memory.read(barn + barnField.nrEmpty) === 0) return 0;
    const irqs = this.lock(barn);
    const sheaf = this.pop(barn + barnField.empty, barn + barnField.nrEmpty);
    this.unlock(barn, irqs);
    return sheaf;
  }

  /** A full sheaf, or 0. */
  getFull(barn: Pointer): SheafRef {
    if (this.memory.read(barn + barnField.nrFull) === 0) return 0;
    const irqs = this.lock(barn);
    const sheaf = this.pop(barn + barnField.full, barn + barnField.nrFull);
    this.unlock(barn, irqs);
    return sheaf;
  }

  /** False when the barn has enough. */
  putEmpty(barn: Pointer, sheaf: SheafRef): boolean {
    const irqs = this.lock(barn);
    const isTaken = this.memory.read(barn + barnField.nrEmpty) < MAX_EMPTY_SHEAVES;
    if (isTaken) this.push(barn + barnField.empty, barn + barnField.nrEmpty, sheaf);
    this.unlock(barn, irqs);
    return isTaken;
  }

  /** False when the barn has enough. */
  putFull(barn: Pointer, sheaf: SheafRef): boolean {
    const irqs = this.lock(barn);
    const isTaken = this.memory.read(barn + barnField.nrFull) < MAX_FULL_SHEAVES;
    if (isTaken) this.push(barn + barnField.full, barn + barnField.nrFull, sheaf);
    this.unlock(barn, irqs);
    return isTaken;
  }

  /**
   * A full sheaf for an empty one; 0, and the empty one stays the caller's, when there is none.  Minus the full one, and
   * the empty one stays the caller's as well, when the barn has enough of those.
   */
  replaceEmpty(barn: Pointer, empty: SheafRef): SheafRef {
    const { memory } = this;
    if (memory.read(barn + barnField.nrFull) === 0) return 0;
    const irqs = this.lock(barn);
    const hasRoom = memory.read(barn + barnField.nrEmpty) < MAX_EMPTY_SHEAVES;
    const full = this.pop(barn + barnField.full, barn + barnField.nrFull);
    if (full !== 0 && hasRoom) this.push(barn + barnField.empty, barn + barnField.nrEmpty, empty);
    this.unlock(barn, irqs);
    return hasRoom ? full : -full;
  }

  /** An empty sheaf for a full one; 0 when there is none, TOO_MANY when there are too many full ones. */
  replaceFull(barn: Pointer, full: SheafRef): SheafRef {
    const { memory } = this;
    if (memory.read(barn + barnField.nrFull) >= MAX_FULL_SHEAVES) return TOO_MANY;
    if (memory.read(barn + barnField.nrEmpty) === 0) return 0;
    const irqs = this.lock(barn);
    const hasRoom = memory.read(barn + barnField.nrFull) < MAX_FULL_SHEAVES;
    const empty = hasRoom ? this.pop(barn + barnField.empty, barn + barnField.nrEmpty) : TOO_MANY;
    if (empty > 0) this.push(barn + barnField.full, barn + barnField.nrFull, full);
    this.unlock(barn, irqs);
    return empty;
  }

  private lock(barn: Pointer): number {
    reached("barn-unlocked");
    return unlocked ? this.cpu.irqSave() : this.locks.lockIrqSave(barn + barnField.lock);
  }

  private unlock(barn: Pointer, irqs: number): void {
    if (unlocked) this.cpu.irqRestore(irqs);
    else this.locks.unlockIrqRestore(barn + barnField.lock, irqs);
  }

  private pop(head: Pointer, count: Pointer): SheafRef {
    const { memory } = this;
    const sheaf = memory.read(head);
    if (sheaf === 0) return 0;
    memory.write(head, memory.read(sheaf + sheafField.next));
    memory.write(sheaf + sheafField.next, 0);
    memory.write(count, memory.read(count) - 1);
    return sheaf;
  }

  private push(head: Pointer, count: Pointer, sheaf: SheafRef): void {
    const { memory } = this;
    memory.write(sheaf + sheafField.next, memory.read(head));
    memory.write(head, sheaf);
    memory.write(count, memory.read(count) + 1);
  }
}
