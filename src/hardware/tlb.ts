/**
 * The TLB of one CPU: what it remembers of the page tables, and only an invalidation on this CPU makes it forget.
 *
 * Two levels of set-associative arrays, as tlb-geometry has them.  An entry is four words:
 *
 *   0  low 31 bits of the page number, rounded down to the page's size
 *   1  VALID | G | size | PCID | upper bits of the page number.  A global entry has no PCID: it serves all.
 *   2  first frame
 *   3  rights, as the walk found them (RW, USER, NX, DIRTY)
 *
 * It lies in the CPU-state buffer and only its own CPU touches it, plainly; a check may read it at rest.
 *
 * Invariants, on this CPU
 *   T1  an entry is what the tables said at some time since the last invalidation that covers its page
 *   T2  after `flushAll` there is no entry; after `flushPcid` there are global ones and those of other PCIDs only
 *
 * A set replaces its ways in turn, invalid ones first: the real rule is the maker's secret.
 * Intel SDM vol. 3A, 4.10.
 */

import { shape } from "../memory/shape.ts";
import { FRAME_WORDS, frameOf, PAGE_BYTES, PAGE_SHIFT, type Pfn, type Pointer } from "../memory/units.ts";
import { PteBit } from "./page-table-entry.ts";
import { pageHigh, pageLow } from "./page-walk.ts";
import { countersBy, TlbCounter, type TlbCounters } from "./tlb-counters.ts";
import type { TlbEntry } from "./tlb-entry.ts";
import { TLB_ENTRY_WORDS, TLB_HEADER_WORDS, tlbGeometry, tlbStart, tlbWords } from "./tlb-geometry.ts";
import { WalkCache } from "./walk-cache.ts";

const GEOMETRY = tlbGeometry(shape.mode);
const WORDS = tlbWords(GEOMETRY);
const SMALL_MASK = GEOMETRY.small.sets - 1;
const SMALL_WAYS = GEOMETRY.small.ways;
const LARGE_MASK = GEOMETRY.large.sets - 1;
const LARGE_WAYS = GEOMETRY.large.ways;
const SHARED_MASK = GEOMETRY.shared.sets - 1;
const SHARED_WAYS = GEOMETRY.shared.ways;
const E = TLB_ENTRY_WORDS;
const SMALL_START = TLB_HEADER_WORDS;
const LARGE_START = SMALL_START + GEOMETRY.small.sets * SMALL_WAYS * E;
const SHARED_START = LARGE_START + GEOMETRY.large.sets * LARGE_WAYS * E;
const NEXT_SMALL = SHARED_START + GEOMETRY.shared.sets * SHARED_WAYS * E;
const NEXT_LARGE = NEXT_SMALL + GEOMETRY.small.sets;
const NEXT_SHARED = NEXT_LARGE + GEOMETRY.large.sets;
const TABLES_START = NEXT_SHARED + GEOMETRY.shared.sets;

const VALID = 1 << 31;
const GLOBAL_TAG = 1 << 28;
const SIZE_SHIFT = 26;
const PCID_SHIFT = 14;
const PCID_MASK = 0xfff << PCID_SHIFT;
/** Pages for each step of a page number's upper part. */
const HIGH_PAGES = 2 ** 31;
const { GLOBAL } = PteBit;

const {
  HITS,
  SHARED_HITS,
  WALKS,
  FAULTS,
  FLUSHES_ALL,
  FLUSHES_PAGE,
  WALK_CACHE_HITS,
  LARGE_HITS,
  BROADCASTS,
} = TlbCounter;
/** Words behind the counters: the register CR3. */
const ROOT = 24;
const PCID = 25;
/** What the tag of an entry of that PCID begins with. */
const TAG = 26;
/** Not 0 once an entry of a large page was remembered, until everything is forgotten: without, nobody looks for one. */
const LARGE = 27;
/** An address in two halves, and the bits of the upper one that belong to the lower part of a page number. */
const HALF = 2 ** 32;
const UPPER_IN_LOW_BITS = 11;
const UPPER_IN_LOW = (1 << UPPER_IN_LOW_BITS) - 1;
const HIGH_MASK = 0x3fff;
const WORD_MASK = FRAME_WORDS - 1;

export class Tlb {
  /** Page tables that walks have found. */
  declare readonly tables: WalkCache;
  declare private readonly words: Int32Array;
  declare private readonly doubles: Float64Array;
  declare private readonly base: number;
  declare private readonly counters: number;

  constructor(states: SharedArrayBuffer, cpu: number) {
    this.words = new Int32Array(states);
    this.doubles = new Float64Array(states);
    this.base = tlbStart(this.words.length, cpu, shape.mode);
    this.counters = this.base >> 1;
    this.tables = new WalkCache(this.words, this.base + TABLES_START, GEOMETRY.tables);
  }

  /** Power-on state. */
  reset(): void {
    this.words.fill(0, this.base, this.base + WORDS);
    this.loadTables(0, 0);
  }

  // ---- the register CR3 ----

  /** The loaded top table, and the PCID of its entries. */
  rootPfn(): Pfn {
    return this.words[this.base + ROOT];
  }
  get pcid(): number {
    return this.words[this.base + PCID];
  }

  /** Loads tables without a flush.  Linux: write_cr3 with X86_CR3_PCID_NOFLUSH. */
  loadTables(root: Pfn, pcid: number): void {
    this.words[this.base + ROOT] = root;
    this.words[this.base + PCID] = pcid;
    this.words[this.base + TAG] = VALID | (pcid << PCID_SHIFT);
  }

  // ---- what it remembers ----

  /**
   * The word at `address` when the first level has its small page in the loaded tables, with all rights of `needs`; else -1, and
   * the way through `find` and a walk decides.
   */
  wordAt(address: number, needs: number): Pointer {
    const { words, base } = this;
    // pageLow and pageHigh, from the two halves of the address.
    const lower = address | 0;
    const upper = Math.floor(address / HALF) | 0;
    const low = (lower >>> PAGE_SHIFT) | ((upper & UPPER_IN_LOW) << (32 - PAGE_SHIFT));
    const tag = words[base + TAG] | ((upper >> UPPER_IN_LOW_BITS) & HIGH_MASK);
    let at = base + SMALL_START + (low & SMALL_MASK) * (SMALL_WAYS * E);
    for (const end = at + SMALL_WAYS * E; at < end; at += E) {
      if (words[at] !== low || words[at + 1] !== tag) continue;
      if ((needs & ~words[at + 3]) !== 0) return -1;
      this.doubles[this.counters + HITS]++;
      return frameOf(words[at + 2]) + ((lower >> 2) & WORD_MASK);
    }
    return -1;
  }

  /** Where the entry for a page is, or -1: for `pfnAt` and `rightsAt`, until the next call. */
  find(low: number, high: number, pcid: number): number {
    const { words, base } = this;
    const tag = VALID | (pcid << PCID_SHIFT) | high;
    const globalTag = VALID | GLOBAL_TAG | high;
    let at = base + SMALL_START + (low & SMALL_MASK) * (SMALL_WAYS * E);
    for (const end = at + SMALL_WAYS * E; at < end; at += E) {
      if (words[at] !== low) continue;
      const found = words[at + 1];
      if (found === globalTag || found === tag) {
        this.doubles[this.counters + HITS]++;
        return at;
      }
    }
    return this.findSlow(low, high, pcid);
  }

  /** The frame of a page from the entry at `at`: within a large page, its own part. */
  pfnAt(at: number, low: number): number {
    const size = (this.words[at + 1] >> SIZE_SHIFT) & 3;
    return this.words[at + 2] + (low & ((1 << (9 * size)) - 1));
  }

  rightsAt(at: number): number {
    return this.words[at + 3];
  }

  /** Remembers what a walk has found at `level`; where it is now. */
  insert(low: number, high: number, pcid: number, pfn: number, level: number, rights: number): number {
    const size = level - 1;
    const page = low & ~((1 << (9 * size)) - 1);
    const isGlobal = (rights & GLOBAL) !== 0;
    const tag = VALID | (size << SIZE_SHIFT) | high | (isGlobal ? GLOBAL_TAG : pcid << PCID_SHIFT);
    this.doubles[this.counters + WALKS]++;
    if (size !== 0) this.words[this.base + LARGE] = 1;
    this.put(SHARED_START, SHARED_MASK, SHARED_WAYS, NEXT_SHARED, page, tag, pfn, rights, size);
    return this.putFirst(page, tag, pfn, rights, size);
  }

  /** A walk began at a page table that the page-walk cache knew. */
  countWalkCacheHit(): void {
    this.doubles[this.counters + WALK_CACHE_HITS]++;
  }
  /** This CPU has told all others to forget something. */
  countBroadcast(): void {
    this.doubles[this.counters + BROADCASTS]++;
  }

  // ---- invalidation ----

  /** Forgets everything, global entries too.  Linux: __flush_tlb_all, native_flush_tlb_global. */
  flushAll(): void {
    this.powerOff();
    this.doubles[this.counters + FLUSHES_ALL]++;
  }

  /** Forgets everything, as a CPU that is switched off does: no flush. */
  powerOff(): void {
    this.words.fill(0, this.base + SMALL_START, this.base + NEXT_SMALL);
    this.words[this.base + LARGE] = 0;
    this.tables.flushAll();
  }

  /** Forgets everything but global entries.  Linux: invpcid_flush_all_nonglobals. */
  flushNonGlobal(): void {
    const { words, base } = this;
    for (let at = base + SMALL_START; at < base + NEXT_SMALL; at += E)
      if ((words[at + 1] & GLOBAL_TAG) === 0) words[at + 1] = 0;
    this.tables.flushAll();
    this.doubles[this.counters + FLUSHES_ALL]++;
  }

  /** Forgets the entries of one PCID; global ones stay.  Linux: invpcid_flush_single_context, a write of CR3. */
  flushPcid(pcid: number): void {
    const { words, base } = this;
    const wanted = pcid << PCID_SHIFT;
    for (let at = base + SMALL_START; at < base + NEXT_SMALL; at += E) {
      const tag = words[at + 1];
      if ((tag & GLOBAL_TAG) === 0 && (tag & PCID_MASK) === wanted) words[at + 1] = 0;
    }
    this.tables.flushPcid(pcid);
    this.doubles[this.counters + FLUSHES_ALL]++;
  }

  /** Forgets the page around `address`, of this PCID or global, of every size.  Linux: invlpg. */
  flushPage(address: number, pcid: number): void {
    this.dropPage(pageLow(address), pageHigh(address), pcid);
    this.tables.flushPcid(pcid);
    this.doubles[this.counters + FLUSHES_PAGE]++;
  }

  /**
   * Forgets what a translation would use that has just ended in a fault: the page's entry, if there `isEntry`, and the
   * table that the walk began at.  Intel SDM vol. 3A, 4.10.4.1.
   */
  forget(low: number, high: number, pcid: number, isEntry: boolean): void {
    if (isEntry) this.dropPage(low, high, pcid);
    this.tables.forget(low, high, pcid);
    this.doubles[this.counters + FAULTS]++;
  }

  // ---- reports and checks ----

  get counts(): TlbCounters {
    return countersBy((position) => this.doubles[this.counters + position]);
  }

  /** Whether there is an entry for a page that begins in `bytes` bytes from `start` on; counts nothing. */
  knowsIn(start: number, bytes: number): boolean {
    const { words, base } = this;
    const first = pageHigh(start) * HIGH_PAGES + pageLow(start);
    const pages = bytes / PAGE_BYTES;
    for (let at = base + SMALL_START; at < base + NEXT_SMALL; at += E) {
      if (words[at + 1] >= 0) continue;
      const page = (words[at + 1] & ((1 << PCID_SHIFT) - 1)) * HIGH_PAGES + words[at];
      if (page >= first && page - first < pages) return true;
    }
    return false;
  }

  /** Another CPU's TLB, to be looked at, at rest. */
  of(cpu: number): Tlb {
    return new Tlb(this.words.buffer as SharedArrayBuffer, cpu);
  }

  /** All entries of both levels. */
  entries(): TlbEntry[] {
    const { words, base } = this;
    const found: TlbEntry[] = [];
    for (let at = base + SMALL_START; at < base + NEXT_SMALL; at += E) {
      const tag = words[at + 1];
      if (tag >= 0) continue;
      found.push({
        pageLow: words[at],
        pageHigh: tag & ((1 << PCID_SHIFT) - 1),
        level: ((tag >> SIZE_SHIFT) & 3) + 1,
        pcid: (tag & PCID_MASK) >> PCID_SHIFT,
        isGlobal: (tag & GLOBAL_TAG) !== 0,
        pfn: words[at + 2],
        rights: words[at + 3],
      });
    }
    return found;
  }

  /** Large pages in the first level, then the second level, whose entry comes to the first. */
  private findSlow(low: number, high: number, pcid: number): number {
    const { words } = this;
    const most = words[this.base + LARGE] === 0 ? 0 : 2;
    for (let size = 1; size <= most; size++) {
      const at = this.look(LARGE_START, LARGE_MASK, LARGE_WAYS, low, high, pcid, size);
      if (at < 0) continue;
      this.doubles[this.counters + LARGE_HITS]++;
      return at;
    }
    for (let size = 0; size <= most; size++) {
      const at = this.look(SHARED_START, SHARED_MASK, SHARED_WAYS, low, high, pcid, size);
      if (at < 0) continue;
      this.doubles[this.counters + SHARED_HITS]++;
      return this.putFirst(words[at], words[at + 1], words[at + 2], words[at + 3], size);
    }
    return -1;
  }

  private dropPage(low: number, high: number, pcid: number): void {
    this.drop(SMALL_START, SMALL_MASK, SMALL_WAYS, low, VALID | high, pcid, 0);
    this.drop(SHARED_START, SHARED_MASK, SHARED_WAYS, low, VALID | high, pcid, 0);
    if (this.words[this.base + LARGE] === 0) return;
    for (let size = 1; size <= 2; size++) {
      const page = low & ~((1 << (9 * size)) - 1);
      const tag = VALID | (size << SIZE_SHIFT) | high;
      this.drop(LARGE_START, LARGE_MASK, LARGE_WAYS, page, tag, pcid, size);
      this.drop(SHARED_START, SHARED_MASK, SHARED_WAYS, page, tag, pcid, size);
    }
  }

  private look(
    start: number,
    mask: number,
    ways: number,
    low: number,
    high: number,
    pcid: number,
    size: number,
  ): number {
    const { words, base } = this;
    const page = low & ~((1 << (9 * size)) - 1);
    const tag = VALID | (size << SIZE_SHIFT) | high;
    let at = base + start + ((low >> (9 * size)) & mask) * (ways * E);
    for (const end = at + ways * E; at < end; at += E) {
      if (words[at] !== page) continue;
      const found = words[at + 1];
      if (found === (tag | GLOBAL_TAG) || found === (tag | (pcid << PCID_SHIFT))) return at;
    }
    return -1;
  }

  private putFirst(page: number, tag: number, pfn: number, rights: number, size: number): number {
    if (size === 0)
      return this.put(SMALL_START, SMALL_MASK, SMALL_WAYS, NEXT_SMALL, page, tag, pfn, rights, size);
    return this.put(LARGE_START, LARGE_MASK, LARGE_WAYS, NEXT_LARGE, page, tag, pfn, rights, size);
  }

  /** Into the way that holds the page already, an invalid one, or the next in turn. */
  private put(
    start: number,
    mask: number,
    ways: number,
    next: number,
    page: number,
    tag: number,
    pfn: number,
    rights: number,
    size: number,
  ): number {
    const { words, base } = this;
    const set = (page >> (9 * size)) & mask;
    const first = base + start + set * (ways * E);
    let chosen = -1;
    for (let at = first; at < first + ways * E; at += E) {
      if (words[at + 1] >= 0) {
        if (chosen < 0) chosen = at;
      } else if (words[at] === page && words[at + 1] === tag) {
        chosen = at;
        break;
      }
    }
    if (chosen < 0) {
      const way = words[base + next + set];
      words[base + next + set] = (way + 1) & (ways - 1);
      chosen = first + way * E;
    }
    words[chosen] = page;
    words[chosen + 1] = tag;
    words[chosen + 2] = pfn;
    words[chosen + 3] = rights;
    return chosen;
  }

  private drop(
    start: number,
    mask: number,
    ways: number,
    page: number,
    tag: number,
    pcid: number,
    size: number,
  ): void {
    const { words, base } = this;
    let at = base + start + ((page >> (9 * size)) & mask) * (ways * E);
    for (const end = at + ways * E; at < end; at += E) {
      if (words[at] !== page) continue;
      const found = words[at + 1];
      if (found === (tag | GLOBAL_TAG) || found === (tag | (pcid << PCID_SHIFT))) words[at + 1] = 0;
    }
  }
}
