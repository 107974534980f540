/**
 * The mappings of an address space, one after the other, while others may change it.
 *
 * mmap_lock is held for reading while a batch of them is looked at, and given up between batches: whoever waits to map
 * something waits for a batch only.  A mapping that has meanwhile grown down over what was seen is seen from there on: what
 * is shown ascends and never overlaps.
 *
 * Linux: fs/proc/task_mmu.c m_start, m_next, m_stop, show_vma_header_prefix, show_map_vma; a batch is what fills a page of
 * text.  Differs: Linux shows such a grown mapping whole.
 */

import type { MmRef, VmaRef } from "../../process/vm-area.ts";
import { VmFlag } from "../../process/vm-flags.ts";
import type { ProcessSource } from "./source.ts";

const f = VmFlag;
/** Mappings that are looked at in one go: about as many as have room in a page of text. */
const BATCH = 40;

/** Calls `visit` for each mapping, with the address from which on it is new.  @may-sleep */
export function eachArea(
  { processes }: ProcessSource,
  mm: MmRef,
  visit: (area: VmaRef, from: number) => void,
): void {
  const { vmas } = processes;
  let next = 0;
  for (let isMore = true; isMore; ) {
    vmas.locks.readLock(mm);
    for (let i = 0; i < BATCH && isMore; i++) {
      const area = vmas.find(mm, next);
      isMore = area !== 0;
      if (!isMore) break;
      visit(area, Math.max(next, vmas.startOf(area)));
      next = vmas.endOf(area);
    }
    vmas.locks.readUnlock(mm);
  }
}

/** "rw-p". */
export const permissionText = (flags: number): string =>
  [
    (flags & f.READ) === 0 ? "-" : "r",
    (flags & f.WRITE) === 0 ? "-" : "w",
    (flags & f.EXEC) === 0 ? "-" : "x",
    (flags & f.MAYSHARE) === 0 ? "p" : "s",
  ].join("");
