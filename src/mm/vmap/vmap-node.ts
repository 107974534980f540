/**
 * A node of the vmap layer: the busy and the lazy areas of its addresses, and areas kept by size.
 *
 * Linux: mm/vmalloc.c struct vmap_node, struct rb_list, struct vmap_pool.
 */

import { array, embed, pad, struct, word } from "../../memory/struct.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";

/** Areas of a node in one state.  Linux: struct rb_list. */
export const AreaSet = struct("rb_list", {
  root: word("holder", "pointer:rb_node"),
  unused: word("boot"),
  head: array(2, "holder", "pointer:list_head"),
  lock: embed(SpinLock, "atomic"),
});

/** Largest area that a pool keeps, pages.  Linux: MAX_VA_SIZE_PAGES. */
export const POOL_SIZES = 256;
export const VaPool = struct("vmap_pool", {
  head: array(2, "lock:pool_lock", "pointer:list_head"),
  len: word("hint:pool_lock", "counter"),
});

export const VmapNode = struct("vmap_node", {
  busy: embed(AreaSet, "lock:busy.lock"),
  end1: pad(),
  lazy: embed(AreaSet, "lock:lazy.lock"),
  end2: pad(),
  poolLock: embed(SpinLock, "atomic"),
  purgeList: array(2, "lock:vmap_purge_lock", "pointer:list_head"),
  skipPopulate: word("lock:vmap_purge_lock", "flags"),
  unused: word("boot"),
  /** By size, one page first. */
  pools: embed(VaPool, "lock:pool_lock", POOL_SIZES),
});
