/**
 * The structures of an address space: its mm_struct, its VMAs, and the anonymous memory that VMAs share.
 *
 * Addresses are bytes, and both they and counts of pages are float64s: they pass 32 bits and stay below 2^53.
 *
 * Linux: include/linux/mm_types.h struct mm_struct, vm_area_struct, vma_lock; include/linux/rmap.h struct anon_vma,
 * anon_vma_chain.
 */

import { RbNode } from "../memory/rb-tree.ts";
import { align, array, embed, float64, struct, word } from "../memory/struct.ts";
import { LINE_WORDS, type Pointer } from "../memory/units.ts";
import { MmContext } from "../mm/pgtable/mm-context.ts";
import { PerCpuCounter } from "../sync/percpu-counter.ts";
import { RcuHead } from "../sync/rcu-callbacks.ts";
import { RcuWait } from "../sync/rcuwait.ts";
import { RwSemaphore } from "../sync/rwsem-layout.ts";
import { MapleTree } from "./maple-readers.ts";

/** Word index of a vm_area_struct. */
export type VmaRef = Pointer;
/** Word index of an mm_struct. */
export type MmRef = Pointer;

export const VmArea = struct("vm_area_struct", {
  /** First byte, and the byte after the last. */
  start: float64("rcu:mmap_lock"),
  end: float64("rcu:mmap_lock"),
  /** Of the first page: in the file, or for private anonymous memory what its address was at first, in pages. */
  pgoff: float64("rcu:mmap_lock"),
  mm: word("rcu:mmap_lock", "pointer:mm_struct"),
  flags: word("rcu:mmap_lock", "flags"),
  /** The mm's `lockSeq` when this VMA was write-locked last: see vma-lock. */
  lockSeq: word("hint:mmap_lock"),
  /** Not in the tree any more. */
  detached: word("rcu:mmap_lock", "flags"),
  lock: word("holder", "pointer:vma_lock"),
  /** In the tree of its file's mappings.  Linux: there always, from vma_link_file to unlink_file_vma. */
  isLinked: word("lock:i_mmap_lock", "flags"),
  file: word("rcu:mmap_lock", "pointer:file"),
  /** Which table of functions it has; 0 is private anonymous memory. */
  ops: word("rcu:mmap_lock"),
  policy: word("rcu:mmap_lock", "pointer:mempolicy"),
  /** Set once while mmap_lock is held for reading, under page_table_lock. */
  anonVma: word("hint:mmap_lock", "pointer:anon_vma"),
  /**
   * Its lock in the form of Linux 6.15: see vma-refcount.  Begins the second line: what faults read of the first is not
   * taken away by those who count.  Linux: vm_refcnt, ____cacheline_aligned_in_smp.
   */
  refcount: word("atomic", "counter"),
  /** List head: its anon_vma_chains. */
  chain: array(2, "lock:mmap_lock", "pointer:list_head"),
  /** In the file's tree of mappings. */
  shared: embed(RbNode, "lock:i_mmap_lock"),
  sharedLast: float64("lock:i_mmap_lock"),
  rcu: embed(RcuHead, "holder"),
});

/** On a line of its own: faults of many CPUs write it.  Linux: struct vma_lock of 6.12. */
export const VmaLock = struct("vma_lock", { sem: embed(RwSemaphore, "atomic"), end: align(LINE_WORDS) });

export const MmStruct = struct("mm_struct", {
  /** Page tables and TLBs; first, so that its pointers are the mm's. */
  context: embed(MmContext, "atomic"),
  tree: embed(MapleTree, "rcu:mmap_lock"),
  /** Tasks that run in it; and, as one of these, `users` together. */
  users: word("atomic", "counter"),
  count: word("atomic", "counter"),
  mmapLock: embed(RwSemaphore, "atomic"),
  /** Grows when mmap_lock is given up by a writer: all its VMA write locks end with that. */
  lockSeq: word("rcu:mmap_lock"),
  /** The writer that waits for a VMA's readers.  Linux: vma_writer_wait. */
  vmaWriter: embed(RcuWait, "atomic"),
  mapCount: word("hint:mmap_lock", "counter"),
  /** VmFlags that new VMAs get: mlockall(MCL_FUTURE). */
  defFlags: word("lock:mmap_lock", "flags"),
  /** Pages: of all VMAs, of locked ones, and by kind. */
  totalVm: float64("hint:mmap_lock"),
  lockedVm: float64("hint:mmap_lock"),
  dataVm: float64("hint:mmap_lock"),
  execVm: float64("hint:mmap_lock"),
  stackVm: float64("hint:mmap_lock"),
  /** End of user addresses; where mappings are placed below; the heap. */
  taskSize: float64("boot"),
  mmapBase: float64("boot"),
  startBrk: float64("lock:mmap_lock"),
  brk: float64("lock:mmap_lock"),
  /** The program's text; where its stack began.  0: nobody has said. */
  startCode: float64("boot"),
  endCode: float64("boot"),
  startStack: float64("boot"),
  /** Most pages of VMAs, and most resident ones, before each time that they became fewer.  Linux: hiwater_vm, hiwater_rss. */
  hiwaterVm: float64("hint:mmap_lock"),
  hiwaterRss: float64("hint:atomic"),
  /** Pages of address space, of data, and locked, at most; Infinity for no limit.  Linux: RLIMIT_AS, DATA, MEMLOCK. */
  limitPages: float64("hint:mmap_lock"),
  limitDataPages: float64("hint:mmap_lock"),
  limitLockedPages: float64("hint:mmap_lock"),
  /** Bytes that a stack may have.  Linux: RLIMIT_STACK. */
  limitStackBytes: float64("hint:mmap_lock"),
  /** Capability bits of who runs in it. */
  capabilities: word("hint:mmap_lock", "flags"),
  /** Resident pages by RssMember. */
  rss: embed(PerCpuCounter, "atomic", 4),
});

/** The part that page tables and TLBs know. */
export const contextOf = (at: MmRef): Pointer => at + MmStruct.context;

export const AnonVma = struct("anon_vma", {
  /** Whose `lock` guards the trees of all that descend from it. */
  root: word("holder", "pointer:anon_vma"),
  refcount: word("atomic", "counter"),
  lock: embed(RwSemaphore, "atomic"),
  /** anon_vmas below this one, itself counted; VMAs that name it. */
  children: word("lock:anon_vma", "counter"),
  activeVmas: word("lock:anon_vma", "counter"),
  parent: word("holder", "pointer:anon_vma"),
  /** Root of the interval tree of anon_vma_chains. */
  tree: word("lock:anon_vma", "pointer:anon_vma_chain"),
});

/** That a VMA may have pages of an anon_vma. */
export const AnonVmaChain = struct("anon_vma_chain", {
  vma: word("holder", "pointer:vm_area_struct"),
  anonVma: word("holder", "pointer:anon_vma"),
  /** On the VMA's `chain`. */
  link: array(2, "lock:mmap_lock", "pointer:list_head"),
  node: embed(RbNode, "lock:anon_vma"),
  subtreeLast: float64("lock:anon_vma"),
});
