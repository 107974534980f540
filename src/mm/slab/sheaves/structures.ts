/**
 * The structures of sheaves: arrays of free objects, a CPU's, and the barn in which a node keeps full and empty ones.
 *
 * Linux 6.18: mm/slub.c struct slab_sheaf, struct slub_percpu_sheaves, struct node_barn.  Differs: there is no `rcu_free`
 * sheaf, for there is no kfree_rcu; sheaves come from a cache of one size instead of kmalloc.
 */

import { array, embed, struct, word, wordsIn } from "../../../memory/struct.ts";
import { type Pointer, WORD_BYTES } from "../../../memory/units.ts";
import { SpinLock } from "../../../sync/spinlock-layout.ts";

/** Word index of a slab_sheaf. */
export type SheafRef = Pointer;

/** Objects of the largest sheaf: with its head it fills 1 KiB. */
export const MAX_SHEAF_CAPACITY = 252;
/** Full, and empty, sheaves that a node keeps.  Linux: MAX_FULL_SHEAVES, MAX_EMPTY_SHEAVES. */
export const MAX_FULL_SHEAVES = 10;
export const MAX_EMPTY_SHEAVES = 10;

export const Sheaf = struct("slab_sheaf", {
  /** Next of a barn's list. */
  next: word("lock:barn.lock", "pointer:slab_sheaf"),
  /** Objects in it. */
  size: word("holder", "counter"),
  /** Objects that it is for: the cache's, or more where a prefilled one was asked for. */
  capacity: word("holder", "counter"),
  pad: word("holder"),
  objects: array(MAX_SHEAF_CAPACITY, "holder", "pointer:object"),
});
export const SHEAF_BYTES = wordsIn(Sheaf) * WORD_BYTES;

/** A CPU's sheaves of a cache: its own alone, with interrupts off. */
export const CpuSheaves = struct("slub_percpu_sheaves", {
  /** Never 0. */
  main: word("owner-cpu", "pointer:slab_sheaf"),
  /** Empty, full, or 0. */
  spare: word("owner-cpu", "pointer:slab_sheaf"),
  /** Objects of a sheaf of this cache. */
  capacity: word("holder", "counter"),
  pad: word("holder"),
});

export const Barn = struct("node_barn", {
  lock: embed(SpinLock, "atomic"),
  full: word("lock:barn.lock", "pointer:slab_sheaf"),
  empty: word("lock:barn.lock", "pointer:slab_sheaf"),
  nrFull: word("hint:barn.lock", "counter"),
  nrEmpty: word("hint:barn.lock", "counter"),
  /** Prefilled sheaves that callers of this node have. */
  nrPrefilled: word("atomic", "counter"),
});
