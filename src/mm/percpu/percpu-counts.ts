/**
 * How many pieces and chunks there are and have been, in all and of each chunk.
 *
 * Linux: mm/percpu-internal.h pcpu_stats_area_alloc, pcpu_stats_area_dealloc, pcpu_stats_chunk_alloc.
 */

import type { Memory } from "../../memory/memory.ts";
import { type Pointer, WORD_BYTES } from "../../memory/units.ts";
import type { PerCpuStats } from "../../sync/percpu.ts";
import { type ChunkRef, PcpuBlock, PcpuChunk } from "./pcpu-chunk.ts";
import { PcpuState } from "./percpu-state.ts";

const state = PcpuState;
const chunkField = PcpuChunk;

/** Counts change under pcpu_lock. */
export class PerCpuCounts {
  private readonly memory: Memory;
  private readonly base: Pointer;

  constructor(memory: Memory, base: Pointer) {
    this.memory = memory;
    this.base = base;
  }

  allocated(chunk: ChunkRef, bytes: number): void {
    const { memory, base } = this;
    this.add(base + state.nrAlloc, 1);
    this.add(base + state.nrCurAlloc, 1);
    this.add(chunk + chunkField.nrAlloc, 1);
    this.atLeast(base + state.nrMaxAlloc, memory.read(base + state.nrCurAlloc));
    this.atLeast(base + state.maxAllocBytes, bytes);
    this.atLeast(chunk + chunkField.maxAllocBytes, bytes);
    if (bytes < memory.read(base + state.minAllocBytes)) memory.write(base + state.minAllocBytes, bytes);
  }

  freed(chunk: ChunkRef): void {
    this.add(chunk + chunkField.nrAlloc, -1);
    this.add(this.base + state.nrDealloc, 1);
    this.add(this.base + state.nrCurAlloc, -1);
  }

  chunkMade(): void {
    this.add(this.base + state.nrChunks, 1);
    this.atLeast(this.base + state.nrMaxChunks, this.memory.read(this.base + state.nrChunks));
  }

  chunkGone(): void {
    this.add(this.base + state.nrChunks, -1);
  }

  read(): PerCpuStats {
    const get = (field: number): number => this.memory.read(this.base + field);
    const first = state.first;
    return {
      allocs: get(state.nrAlloc),
      frees: get(state.nrDealloc),
      current: get(state.nrCurAlloc),
      currentMax: get(state.nrMaxAlloc),
      sizeMinBytes: get(state.minAllocBytes),
      sizeMaxBytes: get(state.maxAllocBytes),
      chunks: get(state.nrChunks),
      emptyPages: get(state.nrEmptyPopPages),
      freeBytes: get(first + chunkField.freeWords) * WORD_BYTES,
      longestFreeBytes: get(first + chunkField.whole + PcpuBlock.contigHint) * WORD_BYTES,
    };
  }

  private add(at: Pointer, by: number): void {
    this.memory.write(at, this.memory.read(at) + by);
  }

  private atLeast(at: Pointer, value: number): void {
    if (value > this.memory.read(at)) this.memory.write(at, value);
  }
}
