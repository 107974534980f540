/**
 * System calls on an address space, as a program makes them: numbers in, a number or a negated errno out.
 *
 * Linux: mm/mmap.c, mm/mprotect.c, mm/madvise.c, mm/mlock.c, mm/mincore.c, mm/mremap.c,
 * kernel/fork.c.
 */

import { Errno } from "../memory/errno.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { Brk } from "./brk.ts";
import type { Fork } from "./fork.ts";
import type { Madvise } from "./madvise.ts";
import type { Mlock } from "./mlock.ts";
import type { Mmap, MmapRequest } from "./mmap.ts";
import type { Mprotect } from "./mprotect.ts";
import type { Mremap, MremapRequest } from "./mremap.ts";
import { type MsyncParts, msync } from "./msync.ts";
import type { Munmap } from "./munmap.ts";
import { pageAlign, wrappedEnd } from "./page-align.ts";
import type { PageOps } from "./page-ops.ts";
import { type MmRef, MmStruct } from "./vm-area.ts";

export interface SystemCallParts extends MsyncParts {
  readonly mmap: Mmap;
  readonly munmap: Munmap;
  readonly mprotect: Mprotect;
  readonly madvise: Madvise;
  readonly mlock: Mlock;
  readonly brk: Brk;
  readonly mremap: Mremap;
  readonly fork: Fork;
  readonly pageOps: PageOps;
}

export class SystemCalls {
  declare readonly locking: Mlock;
  declare private readonly parts: SystemCallParts;

  constructor(parts: SystemCallParts) {
    this.parts = parts;
    this.locking = parts.mlock;
  }

  /** The address, or a negated errno. */
  mmap(mm: MmRef, request: MmapRequest): number {
    const { value, populateBytes } = this.parts.mmap.mmap(mm, request);
    if (populateBytes > 0) this.locking.populate(mm, value, populateBytes, true);
    return value;
  }

  munmap(mm: MmRef, start: number, bytes: number): number {
    return this.parts.munmap.munmap(mm, start, bytes);
  }

  /** The address, or a negated errno. */
  mremap(mm: MmRef, request: MremapRequest): number {
    const { value, populateStart, populateBytes } = this.parts.mremap.mremap(mm, request);
    if (populateBytes > 0) this.locking.populate(mm, populateStart, populateBytes, true);
    return value;
  }

  /** A child's address space, which its caller ends; or -ENOMEM. */
  fork(mm: MmRef): MmRef {
    return this.parts.fork.fork(mm);
  }

  mprotect(mm: MmRef, start: number, bytes: number, prot: number): number {
    return this.parts.mprotect.mprotect(mm, start, bytes, prot);
  }

  madvise(mm: MmRef, start: number, bytes: number, advice: number): number {
    return this.parts.madvise.madvise(mm, start, bytes, advice);
  }

  brk(mm: MmRef, end: number): number {
    return this.parts.brk.brk(mm, end);
  }

  msync(mm: MmRef, start: number, bytes: number, flags: number): number {
    return msync(this.parts, mm, start, bytes, flags);
  }

  /** For each page whether it is in memory, or a negated errno.  Linux: mincore. */
  mincore(mm: MmRef, start: number, bytes: number): number[] | number {
    const { vmas, pageOps } = this.parts;
    if (start % PAGE_BYTES !== 0) return -Errno.EINVAL;
    const end = wrappedEnd(start, pageAlign(bytes));
    if (end < start || (bytes > 0 && end === start)) return -Errno.ENOMEM;
    // Linux: access_ok.
    if (end > vmas.memory.readFloat64(mm + MmStruct.taskSize)) return -Errno.ENOMEM;
    vmas.locks.readLock(mm);
    const resident: number[] = [];
    for (let from = start; from < end; ) {
      const area = vmas.lookup(mm, from);
      if (area === 0) break;
      const to = Math.min(vmas.endOf(area), end);
      resident.push(...pageOps.residency(mm, area, from, to));
      from = to;
    }
    vmas.locks.readUnlock(mm);
    return resident.length * PAGE_BYTES === end - start ? resident : -Errno.ENOMEM;
  }
}
