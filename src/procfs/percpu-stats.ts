/**
 * /sys/kernel/debug/percpu_stats: how per-CPU memory is divided, and the state of each chunk.
 *
 * Of a chunk, the gaps before its last piece count as fragments.
 *
 * Linux: mm/percpu-stats.c percpu_stats_show, chunk_map_stats.  Differs: read without pcpu_lock, at rest.
 */

import { bug } from "../memory/bug.ts";
import { PAGE_BYTES, WORD_BYTES } from "../memory/units.ts";
import { type ChunkRef, PcpuBlock, PcpuChunk } from "../mm/percpu/pcpu-chunk.ts";
import type { PerCpuAllocator } from "../mm/percpu/percpu-allocator.ts";
import { PcpuState } from "../mm/percpu/percpu-state.ts";
import type { ProcSource } from "./source.ts";

const state = PcpuState;
const chunkField = PcpuChunk;
const RULE = "----------------------------------------\n";

const line = (name: string, value: number): string => `  ${name.padEnd(20)}: ${String(value).padStart(12)}\n`;
const lines = (rows: readonly (readonly [string, number])[]): string =>
  `${rows.map(([name, value]) => line(name, value)).join("")}\n`;

export function percpuStats(source: ProcSource): string {
  const chunks = source.perCpuChunks ?? bug("percpu_stats: this machine has no per-CPU allocator");
  const { memory } = source.pages.frames;
  const { record, base, lists } = chunks;
  const get = (field: number): number => memory.read(base + field);
  const parts = [
    "Percpu Memory Statistics\nAllocation Info:\n",
    RULE,
    lines([
      ["unit_size", chunks.unitBytes],
      ["static_size", record.perCpuWords * WORD_BYTES],
      ["reserved_size", record.reservedWords * WORD_BYTES],
      ["dyn_size", record.dynamicWords * WORD_BYTES],
      ["atom_size", PAGE_BYTES],
      ["alloc_size", chunks.unitBytes],
    ]),
    "Global Stats:\n",
    RULE,
    lines([
      ["nr_alloc", get(state.nrAlloc)],
      ["nr_dealloc", get(state.nrDealloc)],
      ["nr_cur_alloc", get(state.nrCurAlloc)],
      ["nr_max_alloc", get(state.nrMaxAlloc)],
      ["nr_chunks", get(state.nrChunks)],
      ["nr_max_chunks", get(state.nrMaxChunks)],
      ["min_alloc_size", get(state.minAllocBytes)],
      ["max_alloc_size", get(state.maxAllocBytes)],
      ["empty_pop_pages", get(state.nrEmptyPopPages)],
    ]),
    "Per Chunk Stats:\n",
    RULE,
  ];
  if (get(state.hasReserved) !== 0)
    parts.push("Chunk: <- Reserved Chunk\n", chunkLines(source, chunks, base + state.reserved));
  for (let list = 0; list < lists.count; list++) {
    for (let chunk = lists.first(list); chunk !== 0; chunk = lists.next(chunk, list))
      parts.push(titleOf(chunks, chunk, list), chunkLines(source, chunks, chunk));
  }
  return parts.join("");
}

function titleOf({ base, lists }: PerCpuAllocator, chunk: ChunkRef, list: number): string {
  if (chunk === base + state.first) return "Chunk: <- First Chunk\n";
  if (list === lists.toDepopulate) return "Chunk (to_depopulate)\n";
  return list === lists.sidelined ? "Chunk (sidelined):\n" : "Chunk:\n";
}

function chunkLines(source: ProcSource, { area }: PerCpuAllocator, chunk: ChunkRef): string {
  const { memory } = source.pages.frames;
  const get = (field: number): number => memory.read(chunk + field);
  const used = area.allocMap(chunk);
  const bounds = area.boundMap(chunk);
  const end = used.lastSetBefore(used.bits - get(chunkField.endOffset)) + 1;
  const pieces: number[] = [];
  const gaps: number[] = [];
  for (let at = get(chunkField.startOffset); at < end; ) {
    const isPiece = used.has(at);
    const next = Math.min(end, isPiece ? bounds.nextSet(at + 1) : used.nextSet(at));
    (isPiece ? pieces : gaps).push((next - at) * WORD_BYTES);
    at = next;
  }
  // The gaps come first, as negative sizes do when all are sorted: the median is that of the pieces behind them.
  pieces.sort((a, b) => a - b);
  const all = gaps.length + pieces.length;
  return lines([
    ["nr_alloc", get(chunkField.nrAlloc)],
    ["max_alloc_size", get(chunkField.maxAllocBytes)],
    ["empty_pop_pages", get(chunkField.nrEmptyPopPages)],
    ["first_bit", get(chunkField.whole + PcpuBlock.firstFree)],
    ["free_bytes", get(chunkField.freeWords) * WORD_BYTES],
    ["contig_bytes", get(chunkField.whole + PcpuBlock.contigHint) * WORD_BYTES],
    ["sum_frag", gaps.reduce((sum, bytes) => sum + bytes, 0)],
    ["max_frag", gaps.reduce((most, bytes) => Math.max(most, bytes), 0)],
    ["cur_min_alloc", pieces[0] ?? 0],
    ["cur_med_alloc", pieces[Math.floor((gaps.length + all - 1) / 2) - gaps.length] ?? 0],
    ["cur_max_alloc", pieces.at(-1) ?? 0],
  ]);
}
