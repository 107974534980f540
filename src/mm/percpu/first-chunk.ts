/**
 * The first chunk, which boot has placed: [static | reserved | dynamic] of each unit.
 *
 * The reserved and the dynamic part are a chunk each.  They begin on the page that they share with what precedes, and
 * the words before and behind are hidden from them.
 *
 * Linux: mm/percpu.c pcpu_setup_first_chunk, pcpu_alloc_first_chunk.
 */

import { bug } from "../../memory/bug.ts";
import type { Slot } from "../../memory/image.ts";
import type { Memory } from "../../memory/memory.ts";
import { alignDown, alignUp, FRAME_WORDS, type Pointer } from "../../memory/units.ts";
import { LockClass } from "../../sync/lock-class.ts";
import { type ChunkRef, PcpuChunk } from "./pcpu-chunk.ts";
import type { PerCpuAllocator, PerCpuParts } from "./percpu-allocator.ts";
import { mapWords, PcpuState } from "./percpu-state.ts";

const state = PcpuState;
const chunkField = PcpuChunk;
/** Linux: warn_limit of pcpu_alloc. */
const WARNINGS = 10;

/** Writes the state of an allocator that has handed out nothing; RAM is zero. */
export function formatFirstChunk(
  allocator: PerCpuAllocator,
  { cpu, locks, mutexes, slots, record }: PerCpuParts,
): void {
  const { memory } = cpu;
  const { base, lists } = allocator;
  locks.format(base + state.lock, LockClass.PERCPU);
  mutexes.format(base + state.mutex, LockClass.PERCPU_ALLOC);
  lists.format();
  memory.write(base + state.warnings, WARNINGS);
  memory.write(base + state.minAllocBytes, allocator.unitBytes);
  const reservedStart = record.perCpuStart + record.perCpuWords;
  const reserved = base + state.reserved;
  const first = base + state.first;
  if (record.reservedWords > 0) {
    formatPart(allocator, memory, reserved, slots.reservedMaps, reservedStart, record.reservedWords);
    memory.write(base + state.hasReserved, 1);
  }
  const dynamicStart = reservedStart + record.reservedWords;
  formatPart(allocator, memory, first, slots.firstMaps, dynamicStart, record.dynamicWords);
  memory.write(base + state.nrEmptyPopPages, memory.read(first + chunkField.nrEmptyPopPages));
  memory.write(base + state.nrPopulated, allocator.unitBytes / (FRAME_WORDS * 4));
  memory.write(base + state.nrChunks, 1);
  memory.write(base + state.nrMaxChunks, 1);
  lists.insert(first);
}

function formatPart(
  { area, chunkPages }: PerCpuAllocator,
  memory: Memory,
  chunk: ChunkRef,
  maps: Slot,
  start: Pointer,
  words: number,
): void {
  const base = alignDown(start, FRAME_WORDS);
  const startOffset = start - base;
  const regionWords = alignUp(startOffset + words, FRAME_WORDS);
  const pages = regionWords / FRAME_WORDS;
  if (mapWords(pages) > maps.stride)
    bug(`percpu: ${maps.name} has ${maps.stride} words, ${pages} pages need ${mapWords(pages)}`);
  chunkPages.setMaps(chunk, maps.address, pages);
  memory.write(chunk + chunkField.base, base);
  memory.write(chunk + chunkField.startOffset, startOffset);
  memory.write(chunk + chunkField.endOffset, regionWords - startOffset - words);
  memory.write(chunk + chunkField.immutable, 1);
  memory.write(chunk + chunkField.nrPopulated, pages);
  memory.write(chunk + chunkField.nrEmptyPopPages, pages);
  chunkPages.populatedMap(chunk).setRange(0, pages);
  area.init(chunk);
  area.hideEnds(chunk);
  // Linux counts the pages that hidden words take as used, and all words that are not hidden as free.
}
