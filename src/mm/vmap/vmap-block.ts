/**
 * A block of vm_map_ram: a large area of which small pieces are mapped.
 *
 * Linux: mm/vmalloc.c struct vmap_block.
 */

import { array, embed, float64, struct, word } from "../../memory/struct.ts";
import { RcuHead } from "../../sync/rcu-callbacks.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";

/** Pages of a block, a bit each.  Linux: VMAP_BBMAP_BITS. */
export const BLOCK_PAGES = 1024;
export const VmapBlock = struct("vmap_block", {
  lock: embed(SpinLock, "atomic"),
  /** Pages never given out, and pages given back: hints outside the lock. */
  free: word("hint:vb.lock", "counter"),
  dirty: word("hint:vb.lock", "counter"),
  /** Pages that were given back since the last flush lie between these. */
  dirtyMin: word("lock:vb.lock"),
  dirtyMax: word("lock:vb.lock"),
  /** First address: that of the area, which may be gone while somebody still looks at the block. */
  start: float64("holder"),
  area: word("holder", "pointer:vmap_area"),
  cpu: word("holder"),
  rcu: embed(RcuHead, "holder"),
  /** On the queue's list of blocks with free pages; read under RCU. */
  freeLinks: array(2, "rcu:vbq.lock", "pointer:list_head"),
  /** On the list of blocks of the CPU that its address belongs to. */
  allLinks: array(2, "rcu:vbq.lock", "pointer:list_head"),
  purgeLinks: array(2, "holder", "pointer:list_head"),
  used: array(BLOCK_PAGES / 32, "lock:vb.lock", "flags"),
});
