/**
 * Hints about the free words of a block, and of a whole chunk, which has the same record.
 *
 * Two runs are kept: the longest, `contig`, and `scan`, one that lies before it and is shorter, with nothing longer than
 * itself before the longest.  A search for more than `scan` words may begin behind it; when the longest is used up,
 * `scan` is where to look on from.  Among runs of one length the one at the rounder place is the better `contig`.
 *
 * Linux: mm/percpu.c pcpu_block_update, pcpu_next_hint, pcpu_check_block_hint.
 */

import type { Memory } from "../../memory/memory.ts";
import type { Pointer } from "../../memory/units.ts";
import { PcpuBlock } from "./pcpu-chunk.ts";

const block = PcpuBlock;

/** Position of the lowest 1.  Linux: __ffs. */
const lowestBit = (value: number): number => 31 - Math.clz32(value & -value);
const alignUpTo = (value: number, alignBits: number): number => (value + alignBits - 1) & -alignBits;

/** Whether a bit range [a, b) and [x, y) share anything.  Linux: pcpu_region_overlap. */
export const overlap = (a: number, b: number, x: number, y: number): boolean => a < y && x < b;

/** All `bits` are free.  Linux: pcpu_init_md_block. */
export function initBlock(memory: Memory, md: Pointer, bits: number): void {
  memory.write(md + block.scanHint, 0);
  memory.write(md + block.scanHintStart, 0);
  memory.write(md + block.contigHint, bits);
  memory.write(md + block.contigHintStart, 0);
  memory.write(md + block.leftFree, bits);
  memory.write(md + block.rightFree, bits);
  memory.write(md + block.firstFree, 0);
  memory.write(md + block.bits, bits);
}

/** Tells of the free run [start, end).  Linux: pcpu_block_update. */
export function updateBlock(memory: Memory, md: Pointer, start: number, end: number): void {
  const length = end - start;
  if (start < memory.read(md + block.firstFree)) memory.write(md + block.firstFree, start);
  if (start === 0) memory.write(md + block.leftFree, length);
  if (end === memory.read(md + block.bits)) memory.write(md + block.rightFree, length);
  const contig = memory.read(md + block.contigHint);
  const scan = memory.read(md + block.scanHint);
  if (length > contig) newLongest(memory, md, start, length);
  else if (length === contig) anotherLongest(memory, md, start, length);
  else if (
    start < memory.read(md + block.contigHintStart) &&
    (length > scan || (length === scan && start > memory.read(md + block.scanHintStart)))
  )
    setScan(memory, md, start, length);
}

/** Whether `bits` from an aligned place fit the longest run.  Linux: pcpu_check_block_hint. */
export function fitsHint(memory: Memory, md: Pointer, bits: number, alignBits: number): boolean {
  const start = memory.read(md + block.contigHintStart);
  return alignUpTo(start, alignBits) - start + bits <= memory.read(md + block.contigHint);
}

/** Where a search for `bits` begins.  Linux: pcpu_next_hint. */
export function searchStart(memory: Memory, md: Pointer, bits: number): number {
  const scan = memory.read(md + block.scanHint);
  const scanStart = memory.read(md + block.scanHintStart);
  if (scan !== 0 && memory.read(md + block.contigHintStart) > scanStart && bits > scan)
    return scanStart + scan;
  return memory.read(md + block.firstFree);
}

/** The old longest run, if it lies before, is the best to look on from. */
function newLongest(memory: Memory, md: Pointer, start: number, length: number): void {
  const contigStart = memory.read(md + block.contigHintStart);
  const contig = memory.read(md + block.contigHint);
  if (start > contigStart) {
    if (contig > memory.read(md + block.scanHint)) setScan(memory, md, contigStart, contig);
    else if (start < memory.read(md + block.scanHintStart)) memory.write(md + block.scanHint, 0);
  } else memory.write(md + block.scanHint, 0);
  memory.write(md + block.contigHintStart, start);
  memory.write(md + block.contigHint, length);
}

function anotherLongest(memory: Memory, md: Pointer, start: number, length: number): void {
  const contigStart = memory.read(md + block.contigHintStart);
  const scan = memory.read(md + block.scanHint);
  if (contigStart !== 0 && (start === 0 || lowestBit(start) > lowestBit(contigStart))) {
    memory.write(md + block.contigHintStart, start);
    if (start < memory.read(md + block.scanHintStart) && length > scan) memory.write(md + block.scanHint, 0);
  } else if (start > memory.read(md + block.scanHintStart) || length > scan)
    setScan(memory, md, start, length);
}

function setScan(memory: Memory, md: Pointer, start: number, length: number): void {
  memory.write(md + block.scanHintStart, start);
  memory.write(md + block.scanHint, length);
}
