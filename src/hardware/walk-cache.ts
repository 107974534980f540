/**
 * The page-walk cache of one CPU: page tables that a walk has found, so that the next walk for the same 2 MiB begins there.
 *
 * It makes walks short, and it is why a table page must not be freed before every CPU has been told: a CPU that runs no
 * program may still walk on its own accord, from a table that it remembers.
 *
 * An entry is four words: the page number rounded down to 2 MiB; VALID | PCID | upper bits of the page number; the frame
 * of the page table; rights of the levels above it.  It lies behind the TLB and is invalidated with it: INVLPG of any
 * address drops all entries of its PCID.
 *
 * Invariant, on this CPU: an entry is what the tables said at some time since the last invalidation of its PCID.
 *
 * Intel SDM vol. 3A, 4.10.3 (PDE caches).  Differs: one level is cached, direct-mapped; the real organisation is the
 * maker's secret.
 */

import type { Pfn } from "../memory/units.ts";

export const WALK_CACHE_WORDS = 4;
const VALID = 1 << 31;
const PCID_SHIFT = 14;
const PCID_MASK = 0xfff << PCID_SHIFT;
const TABLE_SHIFT = 9;
const TABLE_MASK = -1 << TABLE_SHIFT;

/** An entry as a check reads it. */
export interface WalkCacheEntry {
  readonly pageLow: number;
  readonly pageHigh: number;
  readonly pcid: number;
  readonly table: Pfn;
}

export class WalkCache {
  declare private readonly words: Int32Array;
  declare private readonly start: number;
  declare private readonly end: number;
  declare private readonly mask: number;

  /** `entries` is a power of two. */
  constructor(words: Int32Array, start: number, entries: number) {
    this.words = words;
    this.start = start;
    this.end = start + entries * WALK_CACHE_WORDS;
    this.mask = entries - 1;
  }

  /** Where the page table for a page is remembered, or -1: for `tableAt` and `rightsAt`, until the next call. */
  find(low: number, high: number, pcid: number): number {
    const at = this.start + ((low >> TABLE_SHIFT) & this.mask) * WALK_CACHE_WORDS;
    const { words } = this;
    return words[at] === (low & TABLE_MASK) && words[at + 1] === (VALID | (pcid << PCID_SHIFT) | high)
      ? at
      : -1;
  }

  tableAt(at: number): Pfn {
    return this.words[at + 2];
  }

  rightsAt(at: number): number {
    return this.words[at + 3];
  }

  insert(low: number, high: number, pcid: number, table: Pfn, rights: number): void {
    const { words } = this;
    const at = this.start + ((low >> TABLE_SHIFT) & this.mask) * WALK_CACHE_WORDS;
    words[at] = low & TABLE_MASK;
    words[at + 1] = VALID | (pcid << PCID_SHIFT) | high;
    words[at + 2] = table;
    words[at + 3] = rights;
  }

  /** Drops the entry for a page, if there is one. */
  forget(low: number, high: number, pcid: number): void {
    const at = this.find(low, high, pcid);
    if (at >= 0) this.words[at + 1] = 0;
  }

  flushAll(): void {
    this.words.fill(0, this.start, this.end);
  }

  flushPcid(pcid: number): void {
    const { words, end } = this;
    const wanted = pcid << PCID_SHIFT;
    for (let at = this.start; at < end; at += WALK_CACHE_WORDS)
      if ((words[at + 1] & PCID_MASK) === wanted) words[at + 1] = 0;
  }

  /** Of another CPU only at rest. */
  entries(): WalkCacheEntry[] {
    const { words, end } = this;
    const found: WalkCacheEntry[] = [];
    for (let at = this.start; at < end; at += WALK_CACHE_WORDS) {
      const tag = words[at + 1];
      if (tag >= 0) continue;
      found.push({
        pageLow: words[at],
        pageHigh: tag & ((1 << PCID_SHIFT) - 1),
        pcid: (tag & PCID_MASK) >> PCID_SHIFT,
        table: words[at + 2],
      });
    }
    return found;
  }
}
