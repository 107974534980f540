/**
 * What all chunks share, in the kernel image: the locks, the lists of chunks, the first chunk's records, the counters.
 *
 * Linux: the statics of mm/percpu.c; mm/percpu-internal.h struct percpu_stats.
 */

import type { ImageLayout, Slot } from "../../memory/image.ts";
import { ListHead } from "../../memory/list.ts";
import { array, embed, struct, word } from "../../memory/struct.ts";
import { PAGE_BYTES } from "../../memory/units.ts";
import { Mutex } from "../../sync/mutex.ts";
import { SpinLock } from "../../sync/spinlock-layout.ts";
import { allocMapWords, BLOCK_WORDS, boundMapWords, PcpuChunk, populatedWords } from "./pcpu-chunk.ts";

/** Lists of chunks that there are at most: a unit of 2^27 bytes has this many classes. */
export const CHUNK_LISTS = 28;
/** Chunks beyond the first, at most. */
export const MAX_AREAS = 1024;

export const PcpuState = struct("pcpu_state", {
  /** pcpu_lock. */
  lock: embed(SpinLock, "atomic"),
  /** pcpu_alloc_mutex. */
  mutex: embed(Mutex, "atomic"),
  /** pcpu_chunk_lists. */
  lists: embed(ListHead, "lock:pcpu_lock", CHUNK_LISTS),
  first: embed(PcpuChunk, "lock:pcpu_lock"),
  reserved: embed(PcpuChunk, "lock:pcpu_lock"),
  /** 1: there is room for modules' variables, and `reserved` is its chunk. */
  hasReserved: word("boot", "flags"),
  /** Empty populated pages of the chunks that are not isolated.  Linux: pcpu_nr_empty_pop_pages. */
  nrEmptyPopPages: word("hint:lock:pcpu_lock", "counter"),
  /** Populated pages of one unit, the first chunk's included.  Linux: pcpu_nr_populated. */
  nrPopulated: word("hint:lock:pcpu_lock", "counter"),
  /** 1: an allocation that could not wait has failed since the last balance.  Linux: pcpu_atomic_alloc_failed. */
  atomicFailed: word("hint:lock:pcpu_lock", "flags"),
  /** 1: pcpu_balance_work is queued. */
  balanceQueued: word("atomic", "flags"),
  /** Warnings about failed allocations that are left. */
  warnings: word("atomic", "counter"),
  nrAlloc: word("lock:pcpu_lock", "counter"),
  nrDealloc: word("lock:pcpu_lock", "counter"),
  /** Pieces that are out, and the most there have been. */
  nrCurAlloc: word("lock:pcpu_lock", "counter"),
  nrMaxAlloc: word("lock:pcpu_lock", "counter"),
  nrChunks: word("lock:pcpu_lock", "counter"),
  nrMaxChunks: word("lock:pcpu_lock", "counter"),
  minAllocBytes: word("lock:pcpu_lock"),
  maxAllocBytes: word("lock:pcpu_lock"),
  /** The chunk in each place of the window, or 0. */
  areas: array(MAX_AREAS, "lock:pcpu_alloc_mutex", "pointer:pcpu_chunk"),
});

export interface PcpuSlots {
  readonly state: Slot;
  readonly firstMaps: Slot;
  readonly reservedMaps: Slot;
}

/** Words of everything about a chunk of `pages` beside its record. */
export const mapWords = (pages: number): number =>
  populatedWords(pages) + allocMapWords(pages) + boundMapWords(pages) + pages * BLOCK_WORDS;

/** Pages that `bytes` from any word on may touch, and one for what rounding up the unit adds. */
const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) + 2;

/** Reserves the first chunk's records: sizes are those that boot is given. */
export function declarePerCpu(layout: ImageLayout, reservedBytes: number, dynamicBytes: number): PcpuSlots {
  const maps = (name: string, bytes: number): Slot =>
    layout.place(name, struct(name, { words: array(mapWords(pagesFor(bytes)), "lock:pcpu_lock") }));
  return {
    state: layout.place("pcpu_state", PcpuState),
    firstMaps: maps("pcpu_first_maps", dynamicBytes),
    reservedMaps: maps("pcpu_reserved_maps", reservedBytes),
  };
}
