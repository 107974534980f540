/**
 * Where in a chunk a piece fits, by the hints of its blocks: a run may lie in one block or span several.
 *
 * Linux: mm/percpu.c pcpu_find_block_fit, pcpu_next_fit_region, pcpu_next_md_free_region, pcpu_is_populated.
 */

import { Bitmap } from "../../memory/bitmap.ts";
import type { Memory } from "../../memory/memory.ts";
import { fitsHint, searchStart } from "./block-hints.ts";
import { BLOCK_BITS, BLOCK_WORDS, type ChunkRef, PcpuBlock, PcpuChunk } from "./pcpu-chunk.ts";

const block = PcpuBlock;
const chunkField = PcpuChunk;

const alignUpTo = (value: number, alignBits: number): number => (value + alignBits - 1) & -alignBits;

/** A run of free words: from bit `start` on. */
interface Run {
  readonly start: number;
  readonly bits: number;
}

export class ChunkSearch {
  private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /**
   * Where to look for `bits` from an aligned place; -1 when the chunk has no such run, or, `populatedOnly`, none whose
   * pages are there.  Linux: pcpu_find_block_fit.  @holds pcpu_lock
   */
  find(chunk: ChunkRef, bits: number, alignBits: number, populatedOnly: boolean): number {
    const { memory } = this;
    const whole = chunk + chunkField.whole;
    if (!fitsHint(memory, whole, bits, alignBits)) return -1;
    const end = this.mapBits(chunk);
    for (let at = searchStart(memory, whole, bits); ; ) {
      const run = this.nextFit(chunk, bits, alignBits, at);
      if (run.start >= end) return -1;
      const missing = populatedOnly ? this.missingUntil(chunk, run) : -1;
      if (missing < 0) return run.start;
      if (missing >= end) return -1;
      at = missing;
    }
  }

  /** Calls `found(start, end)` with each run that the blocks know of, from `from` on.  Linux: pcpu_for_each_md_free_region. */
  eachRun(chunk: ChunkRef, from: number, found: (start: number, end: number) => void): void {
    const end = this.mapBits(chunk);
    for (let run = this.nextRun(chunk, from); run.start < end; ) {
      found(run.start, run.start + run.bits);
      run = this.nextRun(chunk, run.start + run.bits + 1);
    }
  }

  mapBits(chunk: ChunkRef): number {
    return this.memory.read(chunk + chunkField.pages) * BLOCK_BITS;
  }

  /** Linux: pcpu_next_fit_region. */
  private nextFit(chunk: ChunkRef, wanted: number, alignBits: number, from: number): Run {
    const { memory } = this;
    const pages = memory.read(chunk + chunkField.pages);
    let blockOffset = from % BLOCK_BITS;
    let start = from;
    let bits = 0;
    for (let i = Math.floor(from / BLOCK_BITS); i < pages; i++) {
      const md = memory.read(chunk + chunkField.blocks) + i * BLOCK_WORDS;
      // A run that reached the end of the block before may go on here.
      if (bits !== 0) {
        const left = memory.read(md + block.leftFree);
        bits += left;
        if (bits >= wanted) return { start, bits };
        if (left === BLOCK_BITS) continue;
      }
      const contigStart = memory.read(md + block.contigHintStart);
      const contig = memory.read(md + block.contigHint);
      const skipped = alignUpTo(contigStart, alignBits) - contigStart;
      if (contig !== 0 && contigStart >= blockOffset && contig >= skipped + wanted) {
        // The longest run fits, but a smaller one before it may, too: look at the bits from the first candidate on.
        const first = searchStart(memory, md, wanted);
        return { start: i * BLOCK_BITS + first, bits: skipped + wanted + contigStart - first };
      }
      blockOffset = 0;
      const tail = alignUpTo(BLOCK_BITS - memory.read(md + block.rightFree), alignBits);
      bits = BLOCK_BITS - tail;
      start = i * BLOCK_BITS + tail;
      if (bits >= wanted) return { start, bits };
    }
    return { start: pages * BLOCK_BITS, bits };
  }

  /** Linux: pcpu_next_md_free_region. */
  private nextRun(chunk: ChunkRef, from: number): Run {
    const { memory } = this;
    const pages = memory.read(chunk + chunkField.pages);
    let blockOffset = from % BLOCK_BITS;
    let start = from;
    let bits = 0;
    for (let i = Math.floor(from / BLOCK_BITS); i < pages; i++) {
      const md = memory.read(chunk + chunkField.blocks) + i * BLOCK_WORDS;
      if (bits !== 0) {
        const left = memory.read(md + block.leftFree);
        bits += left;
        if (left === BLOCK_BITS) continue;
        return { start, bits };
      }
      const contig = memory.read(md + block.contigHint);
      const contigStart = memory.read(md + block.contigHintStart);
      // A run up to the block's end may go on in the next one.
      if (contig !== 0 && contigStart >= blockOffset && contigStart + contig < BLOCK_BITS)
        return { start: i * BLOCK_BITS + contigStart, bits: contig };
      blockOffset = 0;
      bits = memory.read(md + block.rightFree);
      start = (i + 1) * BLOCK_BITS - bits;
    }
    return { start, bits };
  }

  /** Behind the first page of the run that is not there, and those that follow it; -1 when all are.  Linux: pcpu_is_populated. */
  private missingUntil(chunk: ChunkRef, { start, bits }: Run): number {
    const { memory } = this;
    const pages = memory.read(chunk + chunkField.pages);
    const populated = new Bitmap(memory, memory.read(chunk + chunkField.populated), pages);
    const lastPage = Math.ceil((start + bits) / BLOCK_BITS);
    const missing = populated.nextClear(Math.floor(start / BLOCK_BITS));
    if (missing >= lastPage) return -1;
    return Math.min(populated.nextSet(missing + 1), lastPage) * BLOCK_BITS;
  }
}
