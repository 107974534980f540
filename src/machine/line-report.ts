/**
 * The cache-line report of a run in simulated time, as data: which lines travelled between CPUs, why, and what it cost.
 *
 * Counted is what `perf c2c` samples: lines that an access found in another CPU's cache.  Misses to memory and accesses
 * that hit are not in it.
 */

/** A CPU and how often. */
export type CpuCount = readonly [cpu: number, count: number];

/** What accesses cost because another CPU had the line. */
export interface TransferCounts {
  /** Lines fetched from another CPU's cache for a read, for a write. */
  readonly reads: number;
  readonly writes: number;
  /** Of these: the other CPU had written the line since (`perf c2c`: HITM). */
  readonly modified: number;
  /** Of these: charged in full, because a marked access waits for the line; the others overlap with other work. */
  readonly exposed: number;
  /** Writes to a line that was here, but shared: the other copies were invalidated. */
  readonly upgrades: number;
  /** Cycles of all of these, summed over CPUs. */
  readonly cycles: number;
  /** Cycles in which a locked operation waited until the line had reached the CPU before. */
  readonly queueCycles: number;
}

/** A part of a lock; of a node or record by which CPUs pass a lock or a call on to each other; anything else. */
export type WordRole = "lock" | "message" | "data";

/** A word of a line whose accesses missed. */
export interface LineWord extends TransferCounts {
  /** Bytes from the line's start. */
  readonly offset: number;
  /** For example `zone[Normal].lock.value`. */
  readonly name: string;
  /** The lock or message that the word is part of, or the word itself: what it makes no sense to split. */
  readonly unit: string;
  readonly role: WordRole;
  /** What the field holds and who may write it (memory/struct); "" where nothing is declared. */
  readonly kind: string;
  readonly guard: string;
  /** CPUs that read it and missed, that wrote it and missed or upgraded, and those that the line came from. */
  readonly readers: readonly CpuCount[];
  readonly writers: readonly CpuCount[];
  readonly from: readonly CpuCount[];
}

/** A field that lies on a line, and on which no access missed. */
export interface LineNeighbour {
  readonly name: string;
  readonly guard: string;
}

export interface CacheLine extends TransferCounts {
  /** Byte address in RAM. */
  readonly address: number;
  /** The objects whose fields caused transfers. */
  readonly name: string;
  /** Of the cost of all lines, queueing included. */
  readonly share: number;
  /** The dearest first. */
  readonly words: readonly LineWord[];
  readonly neighbours: readonly LineNeighbour[];
}

/** All lines of one kind of structure. */
export interface StructShare extends TransferCounts {
  readonly name: string;
  readonly lines: number;
  readonly share: number;
  /** The dearest fields, array indexes left out. */
  readonly fields: readonly { readonly name: string; readonly share: number }[];
}

export interface LineReport {
  /** Lines that travelled at all. */
  readonly lineCount: number;
  readonly total: TransferCounts;
  /** Part of the CPUs' time from the program's start to its end on each of them. */
  readonly shareOfTime: number;
  /** The dearest first, `LINES_KEPT` at most. */
  readonly lines: readonly CacheLine[];
  readonly structs: readonly StructShare[];
}

export const LINES_KEPT = 32;

/** What a line or word cost, queueing included. */
export const costOf = (counts: TransferCounts): number => counts.cycles + counts.queueCycles;
