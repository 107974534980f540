/**
 * Changing what a range allows.  Linux: mm/mprotect.c do_mprotect_pkey, mprotect_fixup.
 *
 * VMA after VMA is cut, changed and merged; at a hole, or a right that the VMA may not get, it ends, and what was changed
 * before stays.
 */

import { Errno } from "../memory/errno.ts";
import type { Memory } from "../memory/memory.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { Accounting } from "./accounting.ts";
import { pageAlign, wrappedEnd } from "./page-align.ts";
import type { PageOps } from "./page-ops.ts";
import { type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { Prot, VM_ACCESS, VmFlag } from "./vm-flags.ts";
import type { VmaMerge } from "./vma-merge.ts";
import type { Vmas } from "./vmas.ts";

const vma = VmArea;
const f = VmFlag;
/** Semaphores: accepted, and without a meaning. */
const PROT_SEM = 8;
const KNOWN = Prot.READ | Prot.WRITE | Prot.EXEC | PROT_SEM;
const GROWS = Prot.GROWSDOWN | Prot.GROWSUP;
/** From a right to whether mprotect may give it. */
const MAY_SHIFT = 4;

export interface MprotectParts {
  readonly vmas: Vmas;
  readonly merge: VmaMerge;
  readonly accounting: Accounting;
  readonly pageOps: PageOps;
}

export class Mprotect {
  declare private readonly memory: Memory;
  declare private readonly vmas: Vmas;
  declare private readonly merge: VmaMerge;
  declare private readonly accounting: Accounting;
  declare private readonly pageOps: PageOps;

  constructor(parts: MprotectParts) {
    this.memory = parts.vmas.memory;
    this.vmas = parts.vmas;
    this.merge = parts.merge;
    this.accounting = parts.accounting;
    this.pageOps = parts.pageOps;
  }

  /** The system call: 0 or a negated errno.  @may-sleep */
  mprotect(at: MmRef, start: number, bytes: number, prot: number): number {
    const grows = prot & GROWS;
    if (grows === GROWS || start % PAGE_BYTES !== 0) return -Errno.EINVAL;
    if (bytes === 0) return 0;
    const end = wrappedEnd(start, pageAlign(bytes));
    if (end <= start) return -Errno.ENOMEM;
    if ((prot & ~(KNOWN | GROWS)) !== 0) return -Errno.EINVAL;
    const { locks } = this.vmas;
    locks.writeLock(at);
    const result = this.protectLocked(at, { start, end, prot: prot & VM_ACCESS, grows });
    locks.writeUnlock(at);
    return result;
  }

  private protectLocked(
    at: MmRef,
    asked: { start: number; end: number; prot: number; grows: number },
  ): number {
    const { vmas } = this;
    let { start, end } = asked;
    const first = vmas.find(at, start);
    if (first === 0 || vmas.startOf(first) >= end) return -Errno.ENOMEM;
    if (asked.grows === Prot.GROWSDOWN) {
      start = vmas.startOf(first);
      if ((vmas.flagsOf(first) & f.GROWSDOWN) === 0) return -Errno.EINVAL;
    } else {
      if (vmas.startOf(first) > start) return -Errno.ENOMEM;
      // No stack grows up on this machine.
      if (asked.grows !== 0) return -Errno.EINVAL;
    }
    for (let from = start; from < end; ) {
      const area = vmas.lookup(at, from);
      if (area === 0) return -Errno.ENOMEM;
      const to = Math.min(vmas.endOf(area), end);
      const flags = (vmas.flagsOf(area) & ~VM_ACCESS) | asked.prot;
      if ((flags & ~(flags >> MAY_SHIFT) & VM_ACCESS) !== 0) return -Errno.EACCES;
      const error = this.protectOne(at, area, from, to, flags);
      if (error !== 0) return error;
      from = to;
    }
    return 0;
  }

  /** Linux: mprotect_fixup.  @holds mmap_lock */
  private protectOne(at: MmRef, area: VmaRef, start: number, end: number, asked: number): number {
    const { memory, vmas, accounting, pageOps } = this;
    const old = vmas.flagsOf(area);
    if (asked === old) return 0;
    const pages = (end - start) / PAGE_BYTES;
    let flags = asked;
    let charged = 0;
    if ((flags & f.WRITE) !== 0) {
      if (!accounting.mayExpand(at, flags, pages) && accounting.mayExpand(at, old, pages))
        return -Errno.ENOMEM;
      if ((old & (f.ACCOUNT | f.WRITE | f.HUGETLB | f.SHARED | f.NORESERVE)) === 0) {
        if (!accounting.commit(at, pages)) return -Errno.ENOMEM;
        charged = pages;
        flags |= f.ACCOUNT;
      }
    } else if (
      (old & f.ACCOUNT) !== 0 &&
      memory.read(area + vma.ops) === 0 &&
      memory.load(area + vma.anonVma) === 0
    ) {
      flags &= ~f.ACCOUNT;
    }
    const own = this.merge.modify(at, area, start, end, flags);
    if (own < 0) {
      accounting.uncommit(charged);
      return own;
    }
    vmas.locks.startWrite(own);
    memory.write(own + vma.flags, flags);
    pageOps.protect(at, own, start, end);
    if ((old & f.ACCOUNT) !== 0 && (flags & f.ACCOUNT) === 0) accounting.uncommit(pages);
    // A locked private mapping that becomes writable gets its own pages now, not in a fault, unless it asked for faults.
    const isLocked = (old & (f.WRITE | f.SHARED | f.LOCKED | f.LOCKONFAULT)) === f.LOCKED;
    if (isLocked && (flags & f.WRITE) !== 0) pageOps.populate(at, own, { start, end, isWrite: true });
    accounting.count(at, old, -pages);
    accounting.count(at, flags, pages);
    return 0;
  }
}
