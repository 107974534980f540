/**
 * The invariants of per-CPU memory, at rest.
 *
 *   C1  freeWords == zeros of the allocation map
 *   C2  of a block: firstFree <= its first zero, contigHint == its longest run of zeros, which lies at contigHintStart,
 *       leftFree and rightFree == the zeros at its ends
 *   C3  of the chunk: firstFree <= its first zero, and the run of contigHint words at contigHintStart is free
 *   C4  a bound lies at each end of a run of ones
 *   C5  nrPopulated == ones of `populated`, nrEmptyPopPages == those of them whose block is all free
 *   C6  a piece lies in populated pages; P1 to P3 of chunk-pages
 *   L1  every chunk but the reserved one is on one list: that of its free words, or list 0 after a search in vain, or,
 *       isolated, the to_depopulate or sidelined one; a chunk is in the area that it says
 *   L2  the empty pages of chunks that are not isolated, and the populated pages of all, add up to the common counts
 *   L3  nrAlloc - nrDealloc == pieces that are out, in all and in each chunk
 */

import { bug } from "../../memory/bug.ts";
import { checkedListLength } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { FRAME_WORDS, type Pointer } from "../../memory/units.ts";
import { Page, PageType } from "../pages/page.ts";
import { AllocatedPage } from "../pages/page-overlays.ts";
import { FAIL_THRESHOLD } from "./chunk-lists.ts";
import { BLOCK_BITS, BLOCK_WORDS, type ChunkRef, PcpuBlock, PcpuChunk } from "./pcpu-chunk.ts";
import type { PerCpuAllocator } from "./percpu-allocator.ts";
import { MAX_AREAS, PcpuState } from "./percpu-state.ts";

const state = PcpuState;
const block = PcpuBlock;
const chunkField = PcpuChunk;

/** All of them; the chunks that were looked at. */
export function checkPerCpu(allocator: PerCpuAllocator, memory: Memory): number {
  const { base, lists } = allocator;
  let chunks = 0;
  let empty = 0;
  let populated = memory.read(base + state.nrPopulated);
  populated -= allocator.unitBytes / (FRAME_WORDS * 4);
  let pieces = 0;
  for (let list = 0; list < lists.count; list++) {
    checkedListLength(memory, lists.head(list), `percpu list ${list}`, MAX_AREAS + 1);
    for (let chunk = lists.first(list); chunk !== 0; chunk = lists.next(chunk, list)) {
      chunks++;
      const name = nameOf(allocator, memory, chunk);
      checkList(allocator, memory, { chunk, list, name });
      pieces += checkChunk(allocator, memory, chunk, name);
      if (memory.read(chunk + chunkField.isolated) === 0)
        empty += memory.read(chunk + chunkField.nrEmptyPopPages);
      if (chunk !== base + state.first) populated -= memory.read(chunk + chunkField.nrPopulated);
    }
  }
  if (memory.read(base + state.hasReserved) !== 0)
    pieces += checkChunk(allocator, memory, base + state.reserved, "percpu reserved chunk");
  checkSums(memory, base, { chunks, empty, populated, pieces });
  checkAreas(allocator, memory, chunks);
  return chunks;
}

/** C1 to C6 of one chunk; the pieces that are out. */
export function checkChunk(
  allocator: PerCpuAllocator,
  memory: Memory,
  chunk: ChunkRef,
  name: string,
): number {
  const { area } = allocator;
  const used = area.allocMap(chunk);
  const bounds = area.boundMap(chunk);
  const start = memory.read(chunk + chunkField.startOffset);
  const end = used.bits - memory.read(chunk + chunkField.endOffset);
  let free = 0;
  for (let at = used.nextClear(0); at < used.bits; ) {
    const next = used.nextSet(at);
    if (at > 0 && !bounds.has(at)) bug(`C4 ${name}: no bound where the gap at ${at} begins`);
    if (next < used.bits && !bounds.has(next)) bug(`C4 ${name}: no bound where the gap at ${at} ends`);
    free += next - at;
    at = used.nextClear(next);
  }
  const said = memory.read(chunk + chunkField.freeWords);
  if (free !== said) bug(`C1 ${name}: ${free} words are free, freeWords is ${said}`);
  checkHints(allocator, memory, chunk, name);
  checkPages(allocator, memory, chunk, name);
  let pieces = 0;
  for (let at = used.nextSet(start); at < end; at = used.nextSet(bounds.nextSet(at + 1))) pieces++;
  const nrAlloc = memory.read(chunk + chunkField.nrAlloc);
  if (pieces !== nrAlloc) bug(`L3 ${name}: ${pieces} pieces are out, nrAlloc is ${nrAlloc}`);
  return pieces;
}

/** C2, C3. */
function checkHints(allocator: PerCpuAllocator, memory: Memory, chunk: ChunkRef, name: string): void {
  const used = allocator.area.allocMap(chunk);
  const pages = memory.read(chunk + chunkField.pages);
  for (let i = 0; i < pages; i++) checkBlock(allocator, memory, chunk, { index: i, name });
  const whole = chunk + chunkField.whole;
  const first = used.nextClear(0);
  const firstFree = memory.read(whole + block.firstFree);
  if (firstFree > first) bug(`C3 ${name}: word ${first} is free, firstFree is ${firstFree}`);
  const contig = memory.read(whole + block.contigHint);
  const at = memory.read(whole + block.contigHintStart);
  if (contig > 0 && (used.has(at) || used.nextSet(at) < at + contig))
    bug(`C3 ${name}: contigHint says ${contig} words at ${at}, word ${used.nextSet(at)} is used`);
}

function checkBlock(
  allocator: PerCpuAllocator,
  memory: Memory,
  chunk: ChunkRef,
  { index, name }: { index: number; name: string },
): void {
  const used = allocator.area.allocMap(chunk);
  const md = memory.read(chunk + chunkField.blocks) + index * BLOCK_WORDS;
  const from = index * BLOCK_BITS;
  const to = from + BLOCK_BITS;
  let longest = 0;
  let left = 0;
  let right = 0;
  let atHint = 0;
  const hintStart = from + memory.read(md + block.contigHintStart);
  const firstZero = used.nextClear(from);
  for (let at = firstZero; at < to; ) {
    const end = Math.min(used.nextSet(at), to);
    longest = Math.max(longest, end - at);
    if (at === from) left = end - at;
    if (end === to) right = end - at;
    if (at === hintStart) atHint = end - at;
    at = used.nextClear(end);
  }
  const expect = (field: number, value: number, what: string): void => {
    const said = memory.read(md + field);
    if (said !== value) bug(`C2 ${name}: page ${index} has ${what} of ${value} words, its hint says ${said}`);
  };
  expect(block.contigHint, longest, "a longest free run");
  expect(block.leftFree, left, "a free beginning");
  expect(block.rightFree, right, "a free end");
  if (longest > 0 && atHint !== longest)
    bug(`C2 ${name}: page ${index} has ${atHint} free words at ${hintStart}, its hint says ${longest}`);
  const firstFree = from + memory.read(md + block.firstFree);
  if (firstZero < to && firstFree > firstZero)
    bug(`C2 ${name}: word ${firstZero} is free, firstFree of page ${index} is ${firstFree}`);
}

/** C5, C6, P1 to P3. */
function checkPages(allocator: PerCpuAllocator, memory: Memory, chunk: ChunkRef, name: string): void {
  const { chunkPages, units } = allocator;
  const populated = chunkPages.populatedMap(chunk);
  let [nrPopulated, nrEmpty] = [0, 0];
  for (let page = 0; page < populated.bits; page++) {
    const md = memory.read(chunk + chunkField.blocks) + page * BLOCK_WORDS;
    const isEmpty = memory.read(md + block.contigHint) === BLOCK_BITS;
    if (populated.has(page)) {
      nrPopulated++;
      if (isEmpty) nrEmpty++;
    } else if (!isEmpty) bug(`C6 ${name}: page ${page} is not populated, and words of it are out`);
    if (memory.read(chunk + chunkField.immutable) !== 0) continue;
    for (let unit = 0; unit < units; unit++)
      checkFrame(allocator, memory, { chunk, unit, page, isThere: populated.has(page), name });
  }
  const said = memory.read(chunk + chunkField.nrPopulated);
  if (said !== nrPopulated) bug(`C5 ${name}: ${nrPopulated} pages are populated, nrPopulated is ${said}`);
  const saidEmpty = memory.read(chunk + chunkField.nrEmptyPopPages);
  if (saidEmpty !== nrEmpty) bug(`C5 ${name}: ${nrEmpty} pages are empty, nrEmptyPopPages is ${saidEmpty}`);
}

function checkFrame(
  { chunkPages, strideWords }: PerCpuAllocator,
  memory: Memory,
  at: { chunk: ChunkRef; unit: number; page: number; isThere: boolean; name: string },
): void {
  const { chunk, unit, page, isThere, name } = at;
  const pfn = chunkPages.frameOf(chunk, unit, page);
  const where = `${name}: page ${page} of cpu ${unit}`;
  if ((pfn !== 0) !== isThere) bug(`P1 ${where} has frame ${pfn}, populated is ${isThere ? "set" : "clear"}`);
  if (isThere) {
    const ref = chunkPages.pageOf(pfn);
    const type = memory.read(ref + Page.type) & 0xff;
    const owner = memory.read(ref + AllocatedPage.private);
    if (type !== PageType.PERCPU || owner !== chunk)
      bug(`P2 ${where}: frame ${pfn} has type ${type} and says it is of ${owner}, not of ${chunk}`);
    return;
  }
  const start = memory.read(chunk + chunkField.base) + unit * strideWords + page * FRAME_WORDS;
  if (memory.read(start) === 0 && memory.compare(start, start + 1, FRAME_WORDS - 1) === 0) return;
  for (let word = start; word < start + FRAME_WORDS; word++)
    if (memory.read(word) !== 0) bug(`P3 ${where} is not populated, and word ${word - start} was written`);
}

/** L1. */
function checkList(
  { lists }: PerCpuAllocator,
  memory: Memory,
  { chunk, list, name }: { chunk: ChunkRef; list: number; name: string },
): void {
  const natural = lists.listOf(chunk);
  const isIsolated = memory.read(chunk + chunkField.isolated) !== 0;
  const isRight = isIsolated
    ? list === lists.toDepopulate || list === lists.sidelined
    : list === natural || (list === 0 && natural < FAIL_THRESHOLD);
  if (!isRight)
    bug(`L1 ${name}: on list ${list}, it belongs on ${isIsolated ? "one of isolated chunks" : natural}`);
}

/** L2, L3. */
function checkSums(
  memory: Memory,
  base: Pointer,
  found: { chunks: number; empty: number; populated: number; pieces: number },
): void {
  const get = (field: number): number => memory.read(base + field);
  if (found.empty !== get(state.nrEmptyPopPages))
    bug(`L2 percpu: ${found.empty} empty populated pages, nrEmptyPopPages is ${get(state.nrEmptyPopPages)}`);
  if (found.populated !== 0)
    bug(`L2 percpu: nrPopulated is ${found.populated} more than the chunks' populated pages`);
  if (found.chunks !== get(state.nrChunks))
    bug(`L2 percpu: ${found.chunks} chunks, nrChunks is ${get(state.nrChunks)}`);
  const [allocs, frees, current] = [state.nrAlloc, state.nrDealloc, state.nrCurAlloc].map(get);
  if (allocs - frees !== current || current !== found.pieces)
    bug(`L3 percpu: ${allocs} allocs, ${frees} frees, ${current} are out, the maps have ${found.pieces}`);
}

/** Every area in use is a chunk's that is on a list. */
function checkAreas({ base, window }: PerCpuAllocator, memory: Memory, chunks: number): void {
  let used = 0;
  for (let area = 0; area < MAX_AREAS; area++) {
    const chunk = memory.read(base + state.areas + area);
    if (chunk === 0) continue;
    used++;
    if (
      memory.read(chunk + chunkField.area) !== area ||
      memory.read(chunk + chunkField.base) !== window.baseOf(area)
    )
      bug(`L1 percpu: area ${area} names chunk ${chunk}, which is elsewhere`);
  }
  if (used !== chunks - 1) bug(`L1 percpu: ${used} areas are in use, ${chunks - 1} chunks are on lists`);
}

function nameOf({ base }: PerCpuAllocator, memory: Memory, chunk: ChunkRef): string {
  if (chunk === base + state.first) return "percpu first chunk";
  return `percpu chunk ${memory.read(chunk + chunkField.area)}`;
}
