/**
 * What things cost on the simulated machine: a profile, resolved to tables that the memory and the turn look up.
 *
 * Plain transfers are *exposed* costs: an out-of-order core overlaps most of the latency of an ordinary miss.  Marked
 * transfers (atomics, waits) are exposed in full.  So the two are charged apart.
 */

/** Costs between two CPUs, in cycles. */
export interface TransferCost {
  readonly plain: number;
  readonly marked: number;
}

/** Everything the simulation charges for, resolved for one machine. */
export interface Costs {
  readonly cyclesPerNs: number;
  /** A plain access that hits. */
  readonly hit: number;
  /** What a locked operation costs beyond the access. */
  readonly locked: number;
  /** Getting write permission for a line that is held shared. */
  readonly upgrade: TransferCost;
  /** Transfer of a line last written by CPU b to CPU a: [a * cpus + b]. */
  readonly transferPlain: Float64Array;
  readonly transferMarked: Float64Array;
  /** A miss next to the one before, the prefetcher's work, to memory of node n from CPU a: [a * nodes + n]. */
  readonly streamMiss: Float64Array;
  readonly streamWindowLines: number;
  /** A miss to memory of node n from CPU a: [a * nodes + n]. */
  readonly memoryMiss: Float64Array;
  /** The same where the access waits for all of it. */
  readonly memoryMissMarked: Float64Array;
  readonly nodes: number;
  /** log2 of the lines that a CPU holds. */
  readonly cacheLinesLog2: number;
  /** Cycles by operation class (memory/work). */
  readonly work: Float64Array;
  /** One line of a bulk operation that hits, beside its misses. */
  readonly bulkLine: number;
  readonly pause: number;
  readonly ipiSend: number;
  readonly ipiDeliver: number;
  readonly interruptEntry: number;
  readonly interruptAcknowledge: number;
}
