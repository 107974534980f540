/**
 * What the hints of a chunk's blocks become when words are handed out or come back, and how many of its populated pages
 * are empty then.
 *
 * Linux: mm/percpu.c pcpu_block_update_hint_alloc, pcpu_block_update_hint_free, pcpu_block_refresh_hint,
 * pcpu_chunk_refresh_hint, pcpu_block_update_scan.
 */

import { Bitmap } from "../../memory/bitmap.ts";
import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import { initBlock, overlap, updateBlock } from "./block-hints.ts";
import type { ChunkSearch } from "./chunk-search.ts";
import { BLOCK_BITS, BLOCK_WORDS, type ChunkRef, PcpuBlock, PcpuChunk } from "./pcpu-chunk.ts";

const block = PcpuBlock;
const chunkField = PcpuChunk;

/** The blocks that [bit, bit + bits) touches: first and last, and where it begins and ends in them. */
interface Span {
  readonly first: number;
  readonly last: number;
  readonly from: number;
  readonly to: number;
}

const spanOf = (bit: number, bits: number): Span => {
  const first = Math.floor(bit / BLOCK_BITS);
  const last = Math.floor((bit + bits - 1) / BLOCK_BITS);
  return { first, last, from: bit - first * BLOCK_BITS, to: bit + bits - last * BLOCK_BITS };
};

export class ChunkHints {
  private readonly memory: Memory;
  private readonly search: ChunkSearch;

  constructor(memory: Memory, search: ChunkSearch) {
    this.memory = memory;
    this.search = search;
  }

  /** All words of the chunk are free.  Linux: pcpu_init_md_blocks. */
  init(chunk: ChunkRef): void {
    const { memory } = this;
    const pages = memory.read(chunk + chunkField.pages);
    initBlock(memory, chunk + chunkField.whole, pages * BLOCK_BITS);
    for (let i = 0; i < pages; i++) initBlock(memory, this.blockAt(chunk, i), BLOCK_BITS);
  }

  /** After the map's words were set; the pages that are no longer empty.  Linux: pcpu_block_update_hint_alloc. */
  allocated(chunk: ChunkRef, bit: number, bits: number): number {
    const { memory } = this;
    const span = spanOf(bit, bits);
    let filled = this.allocatedFirst(chunk, span, bits);
    if (span.first !== span.last) {
      filled += this.allocatedLast(chunk, span) + span.last - span.first - 1;
      const wholeOnes = span.to === BLOCK_BITS ? span.last + 1 : span.last;
      for (let i = span.first + 1; i < wholeOnes; i++) {
        const md = this.blockAt(chunk, i);
        memory.write(md + block.scanHint, 0);
        memory.write(md + block.contigHint, 0);
        memory.write(md + block.leftFree, 0);
        memory.write(md + block.rightFree, 0);
      }
    }
    const whole = chunk + chunkField.whole;
    if (this.touchesScan(whole, bit, bit + bits)) memory.write(whole + block.scanHint, 0);
    if (this.touchesContig(whole, bit, bit + bits)) this.refreshWhole(chunk, false);
    return filled;
  }

  /** After the map's words were cleared; the pages that are empty now.  Linux: pcpu_block_update_hint_free. */
  freed(chunk: ChunkRef, bit: number, bits: number): number {
    const { memory } = this;
    const { first, last, from, to } = spanOf(bit, bits);
    const firstMd = this.blockAt(chunk, first);
    const lastMd = this.blockAt(chunk, last);
    const start = this.runStart(chunk, first, firstMd, from);
    const contigStart = memory.read(lastMd + block.contigHintStart);
    const end =
      to === contigStart
        ? contigStart + memory.read(lastMd + block.contigHint)
        : this.mapOf(chunk, last).nextSet(to);
    const firstEnd = first === last ? end : BLOCK_BITS;
    let emptied = start === 0 && firstEnd === BLOCK_BITS ? 1 : 0;
    updateBlock(memory, firstMd, start, firstEnd);
    if (first !== last) {
      if (end === BLOCK_BITS) emptied++;
      updateBlock(memory, lastMd, 0, end);
      emptied += last - first - 1;
      for (let i = first + 1; i < last; i++) {
        const md = this.blockAt(chunk, i);
        memory.write(md + block.firstFree, 0);
        memory.write(md + block.scanHint, 0);
        memory.write(md + block.contigHintStart, 0);
        memory.write(md + block.contigHint, BLOCK_BITS);
        memory.write(md + block.leftFree, BLOCK_BITS);
        memory.write(md + block.rightFree, BLOCK_BITS);
      }
    }
    // Within one block Linux tells the end as an offset in the block: of a run that is not in the first block the chunk's
    // own hint learns nothing then, and stays too low until a page becomes empty.
    if (end - start >= BLOCK_BITS || first !== last) this.refreshWhole(chunk, true);
    else updateBlock(memory, chunk + chunkField.whole, first * BLOCK_BITS + start, end);
    return emptied;
  }

  /** A search has passed a free run of `bits`: it is remembered if it lies in one block.  Linux: pcpu_block_update_scan. */
  passed(chunk: ChunkRef, bit: number, bits: number): void {
    const i = Math.floor(bit / BLOCK_BITS);
    const from = bit - i * BLOCK_BITS;
    if (from + bits > BLOCK_BITS) return;
    const start = this.mapOf(chunk, i).lastSetBefore(from) + 1;
    updateBlock(this.memory, this.blockAt(chunk, i), start, from + bits);
  }

  /** The block in which the range begins; 1 if it was empty. */
  private allocatedFirst(chunk: ChunkRef, { first, last, from, to }: Span, bits: number): number {
    const { memory } = this;
    const md = this.blockAt(chunk, first);
    const wasEmpty = memory.read(md + block.contigHint) === BLOCK_BITS ? 1 : 0;
    if (from === memory.read(md + block.firstFree))
      memory.write(md + block.firstFree, this.mapOf(chunk, first).nextClear(from + bits));
    if (this.touchesScan(md, from, from + bits)) memory.write(md + block.scanHint, 0);
    if (this.touchesContig(md, from, from + bits)) {
      if (from === 0) memory.write(md + block.leftFree, 0);
      this.refresh(chunk, first);
    } else {
      this.limit(md + block.leftFree, from);
      this.limit(md + block.rightFree, first === last ? BLOCK_BITS - to : 0);
    }
    return wasEmpty;
  }

  /** The block in which the range ends, another than that in which it begins; 1 if it was empty. */
  private allocatedLast(chunk: ChunkRef, { last, to }: Span): number {
    const { memory } = this;
    const md = this.blockAt(chunk, last);
    const wasEmpty = memory.read(md + block.contigHint) === BLOCK_BITS ? 1 : 0;
    memory.write(md + block.firstFree, this.mapOf(chunk, last).nextClear(to));
    if (to === BLOCK_BITS) return wasEmpty;
    if (to > memory.read(md + block.scanHintStart)) memory.write(md + block.scanHint, 0);
    memory.write(md + block.leftFree, 0);
    if (to > memory.read(md + block.contigHintStart)) this.refresh(chunk, last);
    else this.limit(md + block.rightFree, BLOCK_BITS - to);
    return wasEmpty;
  }

  /** Where the free run begins that ends at `from`, or goes on there. */
  private runStart(chunk: ChunkRef, index: number, md: Pointer, from: number): number {
    const { memory } = this;
    const contigStart = memory.read(md + block.contigHintStart);
    if (from === contigStart + memory.read(md + block.contigHint)) return contigStart;
    return this.mapOf(chunk, index).lastSetBefore(from) + 1;
  }

  /** Finds the longest run of a block anew.  Linux: pcpu_block_refresh_hint. */
  private refresh(chunk: ChunkRef, index: number): void {
    const { memory } = this;
    const md = this.blockAt(chunk, index);
    const from = this.takeScan(md);
    memory.write(md + block.rightFree, 0);
    const map = this.mapOf(chunk, index);
    for (let start = map.nextClear(from); start < BLOCK_BITS; ) {
      const end = map.nextSet(start);
      updateBlock(memory, md, start, end);
      start = map.nextClear(end);
    }
  }

  /** The same of the whole chunk, from what its blocks say.  Linux: pcpu_chunk_refresh_hint. */
  private refreshWhole(chunk: ChunkRef, fully: boolean): void {
    const { memory } = this;
    const whole = chunk + chunkField.whole;
    let from = memory.read(whole + block.firstFree);
    if (fully) memory.write(whole + block.contigHint, 0);
    else from = this.takeScan(whole);
    this.search.eachRun(chunk, from, (start, end) => updateBlock(memory, whole, start, end));
  }

  /** Makes the run in reserve the longest, if there is one; where to look on from. */
  private takeScan(md: Pointer): number {
    const { memory } = this;
    const scan = memory.read(md + block.scanHint);
    const scanStart = memory.read(md + block.scanHintStart);
    memory.write(md + block.contigHint, scan);
    if (scan === 0) return memory.read(md + block.firstFree);
    memory.write(md + block.contigHintStart, scanStart);
    memory.write(md + block.scanHint, 0);
    return scanStart + scan;
  }

  private touchesScan(md: Pointer, start: number, end: number): boolean {
    const scanStart = this.memory.read(md + block.scanHintStart);
    return overlap(scanStart, scanStart + this.memory.read(md + block.scanHint), start, end);
  }

  private touchesContig(md: Pointer, start: number, end: number): boolean {
    const contigStart = this.memory.read(md + block.contigHintStart);
    return overlap(contigStart, contigStart + this.memory.read(md + block.contigHint), start, end);
  }

  private limit(field: Pointer, most: number): void {
    if (this.memory.read(field) > most) this.memory.write(field, most);
  }

  private blockAt(chunk: ChunkRef, index: number): Pointer {
    return this.memory.read(chunk + chunkField.blocks) + index * BLOCK_WORDS;
  }

  /** The part of the allocation map that is one block's. */
  private mapOf(chunk: ChunkRef, index: number): Bitmap {
    const start = this.memory.read(chunk + chunkField.allocMap) + index * (BLOCK_BITS / 32);
    return new Bitmap(this.memory, start, BLOCK_BITS);
  }
}
