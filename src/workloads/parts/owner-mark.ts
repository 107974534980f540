/**
 * Who has an object: a mark in one of its words, made of the object's place and the owner's number.
 *
 * It is written by an exchange, so that of two CPUs that were given one object the second one finds the first; a free
 * finds an object that is not out, or that somebody has written to.
 */

import type { Kernel } from "../../machine/kernel.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";

/** CPU numbers that a mark can tell. */
const CPU_MASK = 0xff;
const MARKED = 0x100;

/** This CPU's marks. */
export class OwnerMarks {
  private readonly memory: Memory;
  private readonly cpu: number;

  constructor({ memory, cpu }: Kernel) {
    this.memory = memory;
    this.cpu = cpu.id;
  }

  /** Marks `object` in its word `word`. */
  take(object: Pointer, word: number): void {
    const found = this.memory.exchange(object + word, markOf(object, this.cpu));
    const owner = ownerIn(object, found);
    if (owner >= 0) bug(`cpu ${this.cpu} was given the object at word ${object}, which cpu ${owner} has`);
  }

  /** Finds a CPU's mark and takes it off. */
  giveUp(object: Pointer, word: number): void {
    const found = this.memory.exchange(object + word, 0);
    if (ownerIn(object, found) < 0)
      bug(
        `cpu ${this.cpu} frees the object at word ${object}: 0x${(found >>> 0).toString(16)} is no owner's mark`,
      );
  }
}

/** Never 0: that is no owner's. */
const markOf = (object: Pointer, cpu: number): number =>
  (Math.imul(object, 0x9e3779b1) & ~CPU_MASK) | MARKED | cpu;
/** The CPU whose mark this is; -1 none's. */
const ownerIn = (object: Pointer, mark: number): number =>
  (mark & ~CPU_MASK) === (markOf(object, 0) & ~CPU_MASK) ? mark & CPU_MASK : -1;
