/**
 * Pieces of one chunk: taken where the hints say, given back by any CPU.
 *
 * Linux: mm/percpu.c pcpu_alloc_area, pcpu_find_zero_area, pcpu_free_area, pcpu_alloc_first_chunk.  Differs: a pointer
 * that is no piece's is a bug here, and corrupts the maps there.
 */

import { Bitmap } from "../../memory/bitmap.ts";
import { bug } from "../../memory/bug.ts";
import type { Memory } from "../../memory/memory.ts";
import { ChunkHints } from "./chunk-hints.ts";
import { ChunkSearch } from "./chunk-search.ts";
import { BLOCK_BITS, type ChunkRef, PcpuBlock, PcpuChunk } from "./pcpu-chunk.ts";

const block = PcpuBlock;
const chunkField = PcpuChunk;

export class ChunkArea {
  readonly search: ChunkSearch;
  private readonly memory: Memory;
  private readonly hints: ChunkHints;
  private readonly changeEmpty: (chunk: ChunkRef, by: number) => void;

  /** `changeEmpty` counts the populated pages that become empty, or, below 0, no longer are. */
  constructor(memory: Memory, changeEmpty: (chunk: ChunkRef, by: number) => void) {
    this.memory = memory;
    this.changeEmpty = changeEmpty;
    this.search = new ChunkSearch(memory);
    this.hints = new ChunkHints(memory, this.search);
  }

  /** All of the chunk's `pages` are one free range; its maps are zero.  Linux: pcpu_init_md_blocks. */
  init(chunk: ChunkRef): void {
    this.hints.init(chunk);
    this.memory.write(chunk + chunkField.freeWords, this.memory.read(chunk + chunkField.pages) * BLOCK_BITS);
  }

  /** Takes the ends of the range, which are not this chunk's. */
  hideEnds(chunk: ChunkRef): void {
    const { memory } = this;
    const start = memory.read(chunk + chunkField.startOffset);
    const end = memory.read(chunk + chunkField.endOffset);
    const bits = this.search.mapBits(chunk);
    if (start > 0) {
      memory.write(chunk + chunkField.whole + block.firstFree, start);
      this.take(chunk, 0, start);
    }
    if (end > 0) this.take(chunk, bits - end, end);
  }

  /**
   * `words` from an aligned place at or after word `from`, which `search.find` has named: their offset, or -1.
   * Linux: pcpu_alloc_area.  @holds pcpu_lock
   */
  alloc(chunk: ChunkRef, words: number, alignWords: number, from: number): number {
    const { memory } = this;
    const limit = Math.min(from + words + BLOCK_BITS, this.search.mapBits(chunk));
    const bit = this.firstFit(chunk, { words, alignWords, from, limit });
    if (bit < 0) return -1;
    const whole = chunk + chunkField.whole;
    const isFirst = bit === memory.read(whole + block.firstFree);
    if (isFirst) memory.write(whole + block.firstFree, this.allocMap(chunk).nextClear(bit + words));
    this.take(chunk, bit, words);
    return bit;
  }

  /** Gives back the piece that begins at word `bit`; its words.  Linux: pcpu_free_area.  @holds pcpu_lock */
  free(chunk: ChunkRef, bit: number): number {
    const { memory } = this;
    const words = this.pieceWords(chunk, bit);
    this.allocMap(chunk).clearRange(bit, words);
    this.add(chunk + chunkField.freeWords, words);
    const firstFree = chunk + chunkField.whole + block.firstFree;
    if (bit < memory.read(firstFree)) memory.write(firstFree, bit);
    const emptied = this.hints.freed(chunk, bit, words);
    if (emptied > 0) this.changeEmpty(chunk, emptied);
    return words;
  }

  /** Words of the piece that begins at word `bit`; a bug when none does. */
  pieceWords(chunk: ChunkRef, bit: number): number {
    const used = this.allocMap(chunk);
    const bounds = this.boundMap(chunk);
    const start = this.memory.read(chunk + chunkField.startOffset);
    const end = used.bits - this.memory.read(chunk + chunkField.endOffset);
    if (bit < start || bit >= end) bug(`free_percpu: word ${bit} of the chunk is not dynamic per-CPU memory`);
    if (!used.has(bit) || !bounds.has(bit))
      bug(`free_percpu: word ${bit} of the chunk is ${used.has(bit) ? "inside a piece" : "free"}`);
    return bounds.nextSet(bit + 1) - bit;
  }

  allocMap(chunk: ChunkRef): Bitmap {
    return new Bitmap(this.memory, this.memory.read(chunk + chunkField.allocMap), this.search.mapBits(chunk));
  }

  boundMap(chunk: ChunkRef): Bitmap {
    return new Bitmap(
      this.memory,
      this.memory.read(chunk + chunkField.boundMap),
      this.search.mapBits(chunk) + 1,
    );
  }

  /** The first free `words` before `limit`; the longest run that was too short is remembered.  Linux: pcpu_find_zero_area. */
  private firstFit(
    chunk: ChunkRef,
    { words, alignWords, from, limit }: { words: number; alignWords: number; from: number; limit: number },
  ): number {
    const map = this.allocMap(chunk);
    let longest = 0;
    let longestAt = 0;
    let found = -1;
    for (let at = from; ; ) {
      const start = (map.nextClear(at) + alignWords - 1) & -alignWords;
      if (start + words > limit) break;
      const end = map.nextSet(start);
      if (end >= start + words) {
        found = start;
        break;
      }
      const isRounder =
        longestAt !== 0 && (start === 0 || (start & -start) >>> 0 > (longestAt & -longestAt) >>> 0);
      if (end - start > longest || (end - start === longest && isRounder)) {
        longest = end - start;
        longestAt = start;
      }
      at = end + 1;
    }
    if (found >= 0 && longest > 0) this.hints.passed(chunk, longestAt, longest);
    return found;
  }

  private take(chunk: ChunkRef, bit: number, words: number): void {
    const bounds = this.boundMap(chunk);
    this.allocMap(chunk).setRange(bit, words);
    bounds.set(bit);
    if (words > 1) bounds.clearRange(bit + 1, words - 1);
    bounds.set(bit + words);
    this.add(chunk + chunkField.freeWords, -words);
    const filled = this.hints.allocated(chunk, bit, words);
    if (filled > 0) this.changeEmpty(chunk, -filled);
  }

  private add(field: number, by: number): void {
    this.memory.write(field, this.memory.read(field) + by);
  }
}
