/**
 * A chunk of per-CPU memory: the same range of words in each CPU's unit, handed out in pieces of 4 bytes.
 *
 * A bit of the allocation map a word says whether it is handed out; a bit of the bound map marks where a piece begins,
 * and where the last one before a gap ends, so that a piece needs no header.  A *block* is a page of the range: its
 * metadata say where free words are, so that a search looks at few bits.  `populated` says which pages are there.
 *
 * Linux: mm/percpu-internal.h struct pcpu_chunk, struct pcpu_block_md.  Differs: sizes and offsets are words, one word is
 * one bit of the maps; the frames of an area lie in a table of the chunk's own in place of page tables.
 */

import { ListHead } from "../../memory/list.ts";
import { embed, struct, word, wordsIn } from "../../memory/struct.ts";
import type { Pointer } from "../../memory/units.ts";

/** Word index of a `pcpu_chunk`. */
export type ChunkRef = Pointer;

/** Bits of a block: the words of a page.  Linux: PCPU_BITMAP_BLOCK_BITS. */
export const BLOCK_BITS = 1024;

/** Where a range of words is free.  Of a page; of a whole chunk it has no left and right.  Linux: struct pcpu_block_md. */
export const PcpuBlock = struct("pcpu_block_md", {
  /** The longest free run before `contigHint` that was passed in a search; 0 not known. */
  scanHint: word("lock:pcpu_lock", "counter"),
  scanHintStart: word("lock:pcpu_lock"),
  /** The longest free run. */
  contigHint: word("lock:pcpu_lock", "counter"),
  contigHintStart: word("lock:pcpu_lock"),
  /** Free words at the beginning and at the end. */
  leftFree: word("lock:pcpu_lock", "counter"),
  rightFree: word("lock:pcpu_lock", "counter"),
  /** No word before this one is free. */
  firstFree: word("lock:pcpu_lock"),
  bits: word("boot", "counter"),
});
export const BLOCK_WORDS = wordsIn(PcpuBlock);

export const PcpuChunk = struct("pcpu_chunk", {
  /** In a list of `pcpu_chunk_lists`; the reserved chunk is in none. */
  list: embed(ListHead, "lock:pcpu_lock"),
  /** First word of CPU 0's unit, on a page. */
  base: word("holder", "pointer:word"),
  /** Words of the range that are free. */
  freeWords: word("lock:pcpu_lock", "counter"),
  whole: embed(PcpuBlock, "lock:pcpu_lock"),
  allocMap: word("holder", "pointer:word"),
  boundMap: word("holder", "pointer:word"),
  blocks: word("holder", "pointer:pcpu_block_md"),
  /** A bit a page; changed under pcpu_alloc_mutex and pcpu_lock, so either is enough to read it. */
  populated: word("holder", "pointer:word"),
  /** Frame of each page of each unit, 0 none: [unit][page].  0 in the first chunk, which boot has placed. */
  frames: word("holder", "pointer:word"),
  pages: word("holder", "counter"),
  nrPopulated: word("lock:pcpu_lock", "counter"),
  /** Populated pages with no word handed out. */
  nrEmptyPopPages: word("lock:pcpu_lock", "counter"),
  /** Words at the beginning and at the end of the range that are not this chunk's. */
  startOffset: word("boot"),
  endOffset: word("boot"),
  /** On the to_depopulate or the sidelined list: its pages do not count as a reserve. */
  isolated: word("lock:pcpu_lock", "flags"),
  /** Boot's: all pages are there, and stay. */
  immutable: word("boot", "flags"),
  /** Pieces that are out, and the largest there ever was, bytes. */
  nrAlloc: word("lock:pcpu_lock", "counter"),
  maxAllocBytes: word("lock:pcpu_lock", "counter"),
  /** Its place in the window; 0 in the first chunk. */
  area: word("holder", "counter"),
});

/** Words of the map of allocations, and of the map of bounds, which has a bit more. */
export const allocMapWords = (pages: number): number => pages * (BLOCK_BITS / 32);
export const boundMapWords = (pages: number): number => allocMapWords(pages) + 1;
export const populatedWords = (pages: number): number => (pages + 31) >> 5;
