/**
 * The structures of memory files: an open file, and its inode together with the page cache and the mappings of it.
 *
 * Linux: include/linux/fs.h struct file, inode, address_space; include/linux/xarray.h struct xa_node; include/linux/shmem_fs.h.
 * Differs: inode, address_space and shmem_inode_info are one object, and no directory names it.
 */

import { array, embed, float64, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { RcuHead } from "../sync/rcu-callbacks.ts";
import { RwSemaphore } from "../sync/rwsem-layout.ts";
import { SpinLock } from "../sync/spinlock-layout.ts";
import { WaitQueueHead } from "../sync/wait-queue.ts";

/** Word index of a struct file. */
export type FileRef = Pointer;
/** Word index of an inode. */
export type InodeRef = Pointer;

export const FileMode = { READ: 1, WRITE: 2 } as const;

/** An inode opened with some rights; VMAs have references to it. */
export const OpenFile = struct("file", {
  refcount: word("atomic", "counter"),
  /** FileMode bits. */
  mode: word("boot", "flags"),
  inode: word("boot", "pointer:inode"),
  pad: word("boot"),
});

export const Inode = struct("inode", {
  /** Open files of it. */
  refcount: word("atomic", "counter"),
  /** Pages are committed one by one as they come, not all at once (`committed`).  Linux: VM_NORESERVE in shmem's flags. */
  isNoReserve: word("boot", "flags"),
  /** Linux: i_ino. */
  number: word("boot"),
  /** Number of its type: see file-types.ts. */
  type: word("boot"),
  /** Odd while a hole is punched, of pages [punchFirst, punchEnd).  Linux: struct shmem_falloc. */
  punchSequence: word("atomic", "counter"),
  punchFirst: float64("lock:xa_lock"),
  punchEnd: float64("lock:xa_lock"),
  /** Faults in that hole. */
  punchWait: embed(WaitQueueHead, "atomic"),
  /** It stands behind a shared anonymous mapping: /dev/zero in reports. */
  isAnonymous: word("boot", "flags"),
  /** Bytes.  Written by who holds `sem`; faults read it under the lock of a page. */
  size: float64("hint:i_rwsem"),
  /** Pages that were committed at once. */
  committed: float64("boot"),
  /** Writes, truncation, holes.  Linux: i_rwsem. */
  sem: embed(RwSemaphore, "atomic"),
  mmapSem: embed(RwSemaphore, "atomic"),
  /** Root of the interval tree of VMAs, by their page offsets.  Linux: i_mmap. */
  mappings: word("lock:i_mmap_lock", "pointer:vm_area_struct"),
  /** Root of the tree of cached pages.  Linux: i_pages.xa_head. */
  head: word("rcu:xa_lock", "pointer:xa_node"),
  xaLock: embed(SpinLock, "atomic"),
  cachedPages: word("lock:xa_lock", "counter"),
  /** On the list of all inodes.  Linux: i_sb_list. */
  link: array(2, "lock:s_inode_list_lock", "pointer:list_head"),
});

export const XA_SHIFT = 6;
export const XA_SLOTS = 1 << XA_SHIFT;

/** A node of the tree of pages: its slots name nodes, or with shift 0 frames. */
export const XaNode = struct("xa_node", {
  /** Index bits below this node's. */
  shift: word("rcu:xa_lock"),
  /** Its slot in `parent`. */
  offset: word("lock:xa_lock"),
  /** Slots that are not empty. */
  count: word("lock:xa_lock", "counter"),
  parent: word("lock:xa_lock", "pointer:xa_node"),
  rcu: embed(RcuHead, "holder"),
  slots: array(XA_SLOTS, "rcu:xa_lock"),
});
