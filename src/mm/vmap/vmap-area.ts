/**
 * The structures of kernel virtual memory: an area, and what vmalloc and its kin know of one.
 *
 * Linux: include/linux/vmalloc.h struct vmap_area, struct vm_struct.  Differs: a free area's subtree size and a busy one's
 * vm have words of their own.
 */

import { RbNode } from "../../memory/rb-tree.ts";
import { array, embed, float64, struct, word } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";

/** Word index of a vmap_area. */
export type AreaRef = Pointer;

/**
 * A piece of the range: free, busy, or waiting for its flush.  In one tree and one list at a time, guarded by that tree's
 * lock; between two trees it is the caller's alone.
 */
export const VmapArea = struct("vmap_area", {
  start: float64("holder"),
  end: float64("holder"),
  rb: embed(RbNode, "holder"),
  links: array(2, "holder", "pointer:list_head"),
  /** Free areas: the largest size in the subtree. */
  subtreeMax: float64("holder"),
  /** Busy ones: the vm_struct, or for a block its vmap_block; 0 for vm_map_ram. */
  vm: word("holder", "pointer:vm_struct"),
  /** VMAP_RAM, VMAP_BLOCK, and from bit 8 on 1 + the node whose pool it goes back to. */
  flags: word("holder", "flags"),
});

/** Flags of an area. */
export const VMAP_RAM = 1;
export const VMAP_BLOCK = 2;

/** Longest name of who asked for memory, in words. */
export const CALLER_WORDS = 6;

/** What vmalloc and its kin know of an area.  Sizes are bytes, the guard page included. */
export const VmStruct = struct("vm_struct", {
  addr: float64("holder"),
  size: float64("holder"),
  /** Where the array of struct page is: a pointer, or, below 0, its own address in this range. */
  pages: float64("holder"),
  physAddr: float64("holder"),
  nrPages: word("holder", "counter"),
  flags: word("holder", "flags"),
  caller: array(CALLER_WORDS, "holder", "bytes"),
});

/** Flags of a vm_struct.  Linux: VM_ALLOC and its kin. */
export const VmFlag = {
  IOREMAP: 0x1,
  ALLOC: 0x2,
  MAP: 0x4,
  UNINITIALIZED: 0x20,
  NO_GUARD: 0x40,
  /** vfree puts the pages of a vmap, too. */
  MAP_PUT_PAGES: 0x200,
} as const;
