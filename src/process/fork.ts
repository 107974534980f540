/**
 * A copy of an address space: VMAs and page tables of a child, which shares every private page until one of the two writes.
 *
 * Both mmap_locks are held for writing, and every VMA of the parent is write-locked: no fault changes an entry meanwhile.
 * The TLBs of the parent are flushed before its lock goes, since its entries have lost the right to write.
 *
 * Linux: kernel/fork.c dup_mm, mm/mmap.c dup_mmap.
 * Differs: VMAs are put into the child's tree one by one; a child that could not be completed is ended as any other is.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { mutant, reached } from "../memory/mutants.ts";
import { MmContext } from "../mm/pgtable/mm-context.ts";
import type { Shootdown } from "../mm/shootdown/shootdown.ts";
import { COMPARING } from "../mm/shootdown/stale-watch.ts";
import type { Accounting } from "./accounting.ts";
import type { AddressSpaces } from "./address-spaces.ts";
import type { TableCopier } from "./copy-tables.ts";
import { contextOf, type MmRef, MmStruct, VmArea, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

const mm = MmStruct;
const vma = VmArea;
const f = VmFlag;
/** What a child has from its parent.  Its locks are not among it. */
const LIMITS = [mm.limitPages, mm.limitDataPages, mm.limitLockedPages, mm.limitStackBytes];
const INHERITED = [mm.startBrk, mm.brk, mm.startCode, mm.endCode, mm.startStack, ...LIMITS];
/** Of the flags that new VMAs get.  Linux: VM_INIT_DEF_MASK. */
const DEFAULT_FLAGS = f.NOHUGEPAGE;
/** The parent's CPUs go on writing through what their TLBs remember. */
const skipsFlush = mutant("fork-flush-skipped");

export interface ForkParts {
  readonly vmas: Vmas;
  readonly spaces: AddressSpaces;
  readonly accounting: Accounting;
  readonly shootdown: Shootdown;
  readonly copier: TableCopier;
}

export class Fork {
  declare private readonly memory: Memory;
  declare private readonly parts: ForkParts;

  constructor(parts: ForkParts) {
    this.memory = parts.vmas.memory;
    this.parts = parts;
  }

  /** The child's address space, with one user; or -ENOMEM.  @may-sleep */
  fork(parent: MmRef): MmRef {
    const { memory, parts } = this;
    const { vmas, spaces, shootdown } = parts;
    const child = spaces.make(memory.readFloat64(parent + mm.mmapBase));
    if (child === 0) return -Errno.ENOMEM;
    const { locks } = vmas;
    locks.writeLock(parent);
    locks.writeLock(child);
    for (const field of INHERITED) memory.writeFloat64(child + field, memory.readFloat64(parent + field));
    memory.write(child + mm.capabilities, memory.read(parent + mm.capabilities));
    memory.write(child + mm.defFlags, memory.read(parent + mm.defFlags) & DEFAULT_FLAGS);
    const pending = contextOf(parent) + MmContext.tlbFlushPending;
    // Entries lose the right to write without a flush under their lock: the check of accesses must know that one is to come.
    if (COMPARING) memory.add(pending, 1);
    const areas = vmas.overlapping(parent, 0, memory.readFloat64(parent + mm.taskSize));
    const isComplete = areas.every((area) => this.copyArea(child, parent, area));
    locks.writeUnlock(child);
    reached("fork-flush-skipped");
    if (!skipsFlush) shootdown.flushMm(contextOf(parent));
    if (COMPARING) memory.add(pending, -1);
    locks.writeUnlock(parent);
    if (isComplete) return child;
    spaces.put(child);
    return -Errno.ENOMEM;
  }

  private copyArea(child: MmRef, parent: MmRef, area: VmaRef): boolean {
    const { vmas, accounting, copier } = this.parts;
    const flags = vmas.flagsOf(area);
    vmas.locks.startWrite(area);
    if ((flags & f.DONTCOPY) !== 0) return true;
    const pages = vmas.pagesOf(area);
    const charged = (flags & f.ACCOUNT) === 0 ? 0 : pages;
    if (charged > 0 && !accounting.commit(parent, charged)) return false;
    const fresh = this.duplicate(child, area, flags);
    if (fresh === 0) {
      accounting.uncommit(charged);
      return false;
    }
    accounting.count(child, flags, pages);
    return (flags & f.WIPEONFORK) !== 0 || copier.copy(child, parent, area);
  }

  /** The child's VMA, in its tree; or 0. */
  private duplicate(child: MmRef, area: VmaRef, flags: number): VmaRef {
    const { vmas } = this.parts;
    const fresh = vmas.duplicate(child, area);
    if (fresh === 0) return 0;
    this.memory.write(fresh + vma.flags, flags & ~(f.LOCKED | f.LOCKONFAULT));
    const isWiped = (flags & f.WIPEONFORK) !== 0;
    if (!isWiped && !vmas.anonVmas.fork(fresh, area)) {
      vmas.free(fresh);
      return 0;
    }
    vmas.opened(fresh);
    if (vmas.link(child, fresh) === 0) return fresh;
    vmas.anonVmas.unlink(fresh);
    vmas.closed(fresh);
    vmas.free(fresh);
    return 0;
  }
}
