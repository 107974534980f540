/**
 * Writing mappings back: memory files have nowhere to be written to, so what remains is what may be asked.
 *
 * Linux: mm/msync.c.
 */

import { Errno } from "../memory/errno.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { pageAlign, wrappedEnd } from "./page-align.ts";
import type { MmRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

/** Linux: include/uapi/asm-generic/mman-common.h. */
export const MsyncFlag = { ASYNC: 1, INVALIDATE: 2, SYNC: 4 } as const;
const { ASYNC, INVALIDATE, SYNC } = MsyncFlag;

/** The system call: 0 or a negated errno.  @may-sleep */
export function msync(vmas: Vmas, at: MmRef, start: number, bytes: number, flags: number): number {
  if ((flags & ~(ASYNC | INVALIDATE | SYNC)) !== 0 || start % PAGE_BYTES !== 0) return -Errno.EINVAL;
  if ((flags & ASYNC) !== 0 && (flags & SYNC) !== 0) return -Errno.EINVAL;
  const length = pageAlign(bytes);
  const end = wrappedEnd(start, length);
  if (end < start) return -Errno.ENOMEM;
  if (end === start) return 0;
  vmas.locks.readLock(at);
  const result = walk(vmas, at, start, end, flags);
  vmas.locks.readUnlock(at);
  return result;
}

function walk(vmas: Vmas, at: MmRef, start: number, end: number, flags: number): number {
  let unmapped = 0;
  for (let from = start; from < end; ) {
    const area = vmas.find(at, from);
    if (area === 0) return -Errno.ENOMEM;
    if (from < vmas.startOf(area)) {
      if (flags === ASYNC || vmas.startOf(area) >= end) return -Errno.ENOMEM;
      unmapped = -Errno.ENOMEM;
    }
    if ((flags & INVALIDATE) !== 0 && (vmas.flagsOf(area) & VmFlag.LOCKED) !== 0) return -Errno.EBUSY;
    from = vmas.endOf(area);
  }
  return unmapped;
}
