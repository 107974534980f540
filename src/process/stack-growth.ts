/**
 * Stacks that grow: a fault below a VMA with GROWSDOWN makes it begin there, with mmap_lock held for writing.
 *
 * Linux: mm/memory.c lock_mm_and_find_vma; mm/mmap.c expand_downwards, acct_stack_growth.
 * Differs: mmap_lock is never given up for a signal.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { Accounting } from "./accounting.ts";
import type { AnonVmas } from "./anon-vma.ts";
import { pageFloor } from "./page-align.ts";
import { STACK_GUARD_GAP } from "./unmapped-area.ts";
import { type MmRef, MmStruct, VmArea, type VmaRef } from "./vm-area.ts";
import { VM_ACCESS, VmFlag } from "./vm-flags.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
const vma = VmArea;
const { GROWSDOWN, LOCKED } = VmFlag;
/** What was found under mmap_lock for reading is believed when it is held for writing. */
const looksOnce = mutant("stack-growth-no-recheck");

export interface StackGrowthParts {
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly accounting: Accounting;
  readonly anonVmas: AnonVmas;
  readonly minAddress: number;
}

export class StackGrowth {
  declare private readonly memory: Memory;
  declare private readonly parts: StackGrowthParts;

  constructor(parts: StackGrowthParts) {
    this.memory = parts.vmas.memory;
    this.parts = parts;
  }

  /**
   * The VMA around `address`, with mmap_lock held for reading; or 0, and it is not held.  A stack above is made to reach down
   * to there: for that the lock is given up and taken for writing, so everything is looked at again.
   * Linux: lock_mm_and_find_vma.  @may-sleep
   */
  lockAndFind(at: MmRef, address: number): VmaRef {
    const { vmas } = this.parts;
    const { locks } = vmas;
    if (!locks.tryReadLock(at)) locks.readLock(at);
    const area = vmas.find(at, address);
    if (area !== 0 && vmas.startOf(area) <= address) return area;
    const canGrow = area !== 0 && (vmas.flagsOf(area) & GROWSDOWN) !== 0;
    locks.readUnlock(at);
    if (!canGrow) return 0;
    locks.writeLock(at);
    reached("stack-growth-no-recheck");
    const found = looksOnce ? area : vmas.find(at, address);
    const isThere = found !== 0 && !looksOnce && vmas.startOf(found) <= address;
    if (isThere || (found !== 0 && this.expand(at, found, address) === 0)) {
      locks.downgrade(at);
      return found;
    }
    locks.writeUnlock(at);
    return 0;
  }

  /** Makes a stack begin at the page of `address`: 0 or a negated errno.  Linux: expand_downwards.  @holds mmap_lock */
  expand(at: MmRef, area: VmaRef, address: number): number {
    const { memory } = this;
    const { vmas, merge, anonVmas } = this.parts;
    const start = pageFloor(address);
    if ((vmas.flagsOf(area) & GROWSDOWN) === 0) return -Errno.EFAULT;
    if (start < this.parts.minAddress) return -Errno.EPERM;
    const below = vmas.before(at, vmas.startOf(area));
    const keepsOff = below !== 0 && (vmas.flagsOf(below) & (GROWSDOWN | VM_ACCESS)) !== 0;
    const isStack = below !== 0 && (vmas.flagsOf(below) & GROWSDOWN) !== 0;
    if (keepsOff && !isStack && start - vmas.endOf(below) < STACK_GUARD_GAP) return -Errno.ENOMEM;
    // Whoever looks for its pages meanwhile finds it by its anonymous maps, under their lock: they must be there.
    const hasAnon =
      memory.load(area + vma.anonVma) !== 0 || anonVmas.prepare(area, merge.reusableAnonVma(at, area));
    const reserved = hasAnon ? vmas.reserve(at, start, vmas.endOf(area), area) : null;
    if (reserved === null) return -Errno.ENOMEM;
    vmas.locks.startWrite(area);
    const pages = (vmas.startOf(area) - start) / PAGE_BYTES;
    if (!this.mayGrow(at, area, start, pages)) {
      vmas.trees.abandon(reserved);
      return -Errno.ENOMEM;
    }
    const flags = vmas.flagsOf(area);
    if ((flags & LOCKED) !== 0)
      memory.writeFloat64(at + mm.lockedVm, memory.readFloat64(at + mm.lockedVm) + pages);
    this.parts.accounting.count(at, flags, pages);
    vmas.moveBounds({ area, start, end: vmas.endOf(area) });
    vmas.trees.commit(reserved);
    return 0;
  }

  /** Charges the pages, too.  Linux: acct_stack_growth. */
  private mayGrow(at: MmRef, area: VmaRef, start: number, pages: number): boolean {
    const { vmas, accounting } = this.parts;
    const flags = vmas.flagsOf(area);
    if (pages > vmas.pgoffOf(area) || !accounting.mayExpand(at, flags, pages)) return false;
    if (vmas.endOf(area) - start > this.memory.readFloat64(at + mm.limitStackBytes)) return false;
    if (!accounting.mayLock(at, flags, pages)) return false;
    return (flags & VmFlag.ACCOUNT) === 0 || accounting.commit(at, pages);
  }
}
