/**
 * Writing mappings back: shared mappings of files whose type keeps pages.  Memory files have nowhere to be written to.
 *
 * Linux: mm/msync.c.
 */

import { Errno } from "../memory/errno.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import type { FileWrites } from "./file-writes.ts";
import type { Files } from "./files.ts";
import { pageAlign, wrappedEnd } from "./page-align.ts";
import { type MmRef, VmArea, type VmaRef } from "./vm-area.ts";
import { VmFlag } from "./vm-flags.ts";
import type { Vmas } from "./vmas.ts";

/** Linux: include/uapi/asm-generic/mman-common.h. */
export const MsyncFlag = { ASYNC: 1, INVALIDATE: 2, SYNC: 4 } as const;
const { ASYNC, INVALIDATE, SYNC } = MsyncFlag;

export interface MsyncParts {
  readonly vmas: Vmas;
  readonly files: Files;
  readonly writes: FileWrites;
}

/** The system call: 0 or a negated errno.  @may-sleep */
export function msync(parts: MsyncParts, at: MmRef, start: number, bytes: number, flags: number): number {
  const { vmas } = parts;
  if ((flags & ~(ASYNC | INVALIDATE | SYNC)) !== 0 || start % PAGE_BYTES !== 0) return -Errno.EINVAL;
  if ((flags & ASYNC) !== 0 && (flags & SYNC) !== 0) return -Errno.EINVAL;
  const length = pageAlign(bytes);
  const end = wrappedEnd(start, length);
  if (end < start) return -Errno.ENOMEM;
  if (end === start) return 0;
  vmas.locks.readLock(at);
  const result = walk(parts, at, start, end, flags);
  vmas.locks.readUnlock(at);
  return result;
}

function walk(parts: MsyncParts, at: MmRef, start: number, end: number, flags: number): number {
  const { vmas } = parts;
  let unmapped = 0;
  for (let from = start; from < end; ) {
    const area = vmas.find(at, from);
    if (area === 0) return -Errno.ENOMEM;
    if (from < vmas.startOf(area)) {
      if (flags === ASYNC || vmas.startOf(area) >= end) return -Errno.ENOMEM;
      unmapped = -Errno.ENOMEM;
    }
    if ((flags & INVALIDATE) !== 0 && (vmas.flagsOf(area) & VmFlag.LOCKED) !== 0) return -Errno.EBUSY;
    const first = Math.max(from, vmas.startOf(area));
    from = vmas.endOf(area);
    if ((flags & SYNC) !== 0) writeBack(parts, at, area, first, Math.min(from, end));
  }
  return unmapped;
}

/** Linux: vfs_fsync_range.  mmap_lock is given up meanwhile: the VMA may be gone afterwards. */
function writeBack(
  { vmas, files, writes }: MsyncParts,
  at: MmRef,
  area: VmaRef,
  start: number,
  end: number,
): void {
  const inode = files.mappedBy(area);
  if (inode === 0 || (vmas.flagsOf(area) & VmFlag.SHARED) === 0) return;
  if (files.typeOf(inode).writePage === undefined) return;
  const file = vmas.memory.read(area + VmArea.file);
  const first = vmas.pgoffOf(area) + (start - vmas.startOf(area)) / PAGE_BYTES;
  files.get(file);
  vmas.locks.readUnlock(at);
  writes.clean(inode, first, first + (end - start) / PAGE_BYTES - 1);
  files.put(file);
  vmas.locks.readLock(at);
}
