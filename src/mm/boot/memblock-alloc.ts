/**
 * Allocation from memblock: an aligned free range, reserved; per node with or without fallback.
 *
 * All return a physical byte address, or 0 when there is no room.  Memory is zeroed unless the name says raw or phys.
 * Linux: mm/memblock.c memblock_alloc_range_nid and what is built on it.
 */

import { alignUp, LINE_WORDS, pointerOf, WORD_BYTES } from "../../memory/units.ts";
import type { Memblock } from "./memblock.ts";
import { findFree } from "./memblock-ranges.ts";
import { NO_NODE } from "./memblock-regions.ts";

/** As an upper bound: no more than memblock's current limit.  Linux: MEMBLOCK_ALLOC_ACCESSIBLE. */
export const ACCESSIBLE = 0;
const LINE_BYTES = LINE_WORDS * WORD_BYTES;

export interface AllocRequest {
  readonly size: number;
  /** Default: a cache line. */
  readonly align?: number;
  readonly min?: number;
  /** Default: ACCESSIBLE. */
  readonly max?: number;
  /** Default: any. */
  readonly node?: number;
}

/**
 * Reserves a free range in [min, max), on `node` first and elsewhere if it is full (never with `exact`), in mirrored
 * memory first.  Linux: memblock_alloc_range_nid.
 */
export function physAllocRange(memblock: Memblock, request: AllocRequest, exact = false): number {
  const { size, align = LINE_BYTES, min = 0, node = NO_NODE } = request;
  const max = request.max ?? ACCESSIBLE;
  const search = { size, align, start: min, end: max === ACCESSIBLE ? memblock.currentLimit : max };
  for (const flags of memblock.preferredFlags()) {
    const found = findFree(memblock.filter(node, flags), search, memblock.bottomUp);
    if (found !== 0 && memblock.reserve(found, size)) return found;
    if (node === NO_NODE || exact) continue;
    const elsewhere = findFree(memblock.filter(NO_NODE, flags), search, memblock.bottomUp);
    if (elsewhere !== 0 && memblock.reserve(elsewhere, size)) return elsewhere;
  }
  return 0;
}

/** Zeroed memory, on `node` if there is room; a lower bound that cannot be met is dropped.  Linux: memblock_alloc_try_nid. */
export function allocTryNode(memblock: Memblock, request: AllocRequest): number {
  return zeroed(memblock, allocTryNodeRaw(memblock, request), request.size);
}

/** The same, not zeroed.  Linux: memblock_alloc_try_nid_raw. */
export function allocTryNodeRaw(memblock: Memblock, request: AllocRequest): number {
  return allocInternal(memblock, request, false);
}

/** On `node` or not at all; not zeroed.  Linux: memblock_alloc_exact_nid_raw. */
export function allocExactNodeRaw(memblock: Memblock, request: AllocRequest): number {
  return allocInternal(memblock, request, true);
}

/** Zeroed memory anywhere.  Linux: memblock_alloc. */
export function alloc(memblock: Memblock, size: number, align = LINE_BYTES): number {
  return allocTryNode(memblock, { size, align });
}

/** Zeroed memory, above `min` if there is room.  Linux: memblock_alloc_from. */
export function allocFrom(memblock: Memblock, size: number, align: number, min: number): number {
  return allocTryNode(memblock, { size, align, min });
}

/** Linux: memblock_alloc_internal. */
function allocInternal(memblock: Memblock, request: AllocRequest, exact: boolean): number {
  const asked = request.max ?? ACCESSIBLE;
  const max = asked > memblock.currentLimit ? memblock.currentLimit : asked;
  const found = physAllocRange(memblock, { ...request, max }, exact);
  if (found !== 0 || (request.min ?? 0) === 0) return found;
  return physAllocRange(memblock, { ...request, max, min: 0 }, exact);
}

function zeroed(memblock: Memblock, address: number, size: number): number {
  if (address !== 0) memblock.ram.fill(pointerOf(address), alignUp(size, WORD_BYTES) / WORD_BYTES, 0);
  return address;
}
