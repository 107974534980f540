/**
 * What the machine has for kernel virtual memory, and what each CPU has.
 *
 * Linux: mm/vmalloc.c, the statics; struct vmap_block_queue; arch/x86/include/asm/tlbflush.h struct flush_tlb_info.
 * Differs: a queue lists its blocks where Linux has an xarray.
 */

import { array, embed, float64, struct, word } from "../../memory/struct.ts";
import { Mutex } from "../../sync/mutex.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";

/** What each CPU has. */
export const VmapCpu = struct("vmap_cpu", {
  /** An area to split with, taken before the lock.  Linux: ne_fit_preload_node. */
  preload: word("owner-cpu", "pointer:vmap_area"),
  unused: word("boot"),
  flushStart: float64("holder"),
  flushEnd: float64("holder"),
  /** Linux: struct vmap_block_queue. */
  queueLock: embed(SpinLock, "atomic"),
  freeBlocks: array(2, "rcu:vbq.lock", "pointer:list_head"),
  allBlocks: array(2, "rcu:vbq.lock", "pointer:list_head"),
});

/** What the machine has, in the kernel image. */
export const VmapGlobals = struct("vmap_globals", {
  /** 1 once all below is made: at the first use. */
  ready: word("atomic", "flags"),
  /** Frame of the kernel's top table.  Linux: init_mm.pgd. */
  pgd: word("hint:page_table_lock", "pfn"),
  /** Frames of tables, the top one included. */
  tablePages: word("lock:page_table_lock", "counter"),
  /** Linux: init_mm.page_table_lock. */
  pageTableLock: embed(SpinLock, "atomic"),
  /** Linux: free_vmap_area_root, free_vmap_area_list. */
  freeRoot: word("lock:free_vmap_area_lock", "pointer:rb_node"),
  nodes: word("hint:vmap_purge_lock", "pointer:vmap_node"),
  freeList: array(2, "lock:free_vmap_area_lock", "pointer:list_head"),
  freeLock: embed(SpinLock, "atomic"),
  end: float64("hint:vmap_purge_lock"),
  nodeCount: word("hint:vmap_purge_lock", "counter"),
  /** Addresses of so many bytes in turn belong to one node. */
  zoneBytes: word("hint:vmap_purge_lock"),
  areaCache: word("hint:vmap_purge_lock", "pointer:kmem_cache"),
  /** Pages in lazy trees and on their way from there.  Linux: vmap_lazy_nr. */
  lazyPages: word("atomic", "counter"),
  /** Pages at which a purge begins; 0: by Linux's formula. */
  lazyLimit: word("boot"),
  /** Linux: nr_vmalloc_pages. */
  vmallocPages: word("atomic", "counter"),
  /** 1 while a purge is asked for and has not begun. */
  drainAsked: word("atomic", "flags"),
  purges: word("lock:vmap_purge_lock", "counter"),
  purgeLock: embed(Mutex, "atomic"),
});
