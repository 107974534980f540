/**
 * How large a CPU's TLB is, and where it lies in the CPU-state buffer: behind the states of all CPUs.
 *
 * Explore mode has a small one: its content is copied back before every execution.
 */

import type { Mode } from "../memory/shape.ts";
import { CPU_STATE_WORDS } from "./cpu-state.ts";
import { WALK_CACHE_WORDS } from "./walk-cache.ts";

/** One set-associative array; both are powers of two. */
export interface TlbArray {
  readonly sets: number;
  readonly ways: number;
}

export interface TlbGeometry {
  /** First level, pages of 4 KiB. */
  readonly small: TlbArray;
  /** First level, pages of 2 MiB and 1 GiB. */
  readonly large: TlbArray;
  /** Second level, pages of every size. */
  readonly shared: TlbArray;
  /** Page tables that the page-walk cache remembers: a power of two. */
  readonly tables: number;
}

/** Ice Lake server: 64 and 32 entries for data, and 2048 shared (Intel, Optimization Reference Manual, 2.4). */
const ICE_LAKE: TlbGeometry = {
  small: { sets: 16, ways: 4 },
  large: { sets: 8, ways: 4 },
  shared: { sets: 256, ways: 8 },
  tables: 32,
};
const SMALL: TlbGeometry = {
  small: { sets: 4, ways: 2 },
  large: { sets: 1, ways: 2 },
  shared: { sets: 8, ways: 4 },
  tables: 4,
};

/** The geometry in machines of `mode`. */
export function tlbGeometry(mode: Mode): TlbGeometry {
  return mode === "explore" ? SMALL : ICE_LAKE;
}

export const TLB_ENTRY_WORDS = 4;
/** Words before the entries: up to twelve counters, float64s, and the register CR3. */
export const TLB_HEADER_WORDS = 32;

/** Words of one CPU's TLB: counters, entries, for each set the way that is replaced next, and the page-walk cache. */
export function tlbWords({ small, large, shared, tables }: TlbGeometry): number {
  const arrays = [small, large, shared];
  const entries = arrays.reduce((sum, { sets, ways }) => sum + sets * ways, 0);
  const sets = arrays.reduce((sum, array) => sum + array.sets, 0);
  return (
    TLB_HEADER_WORDS + Math.ceil((entries * TLB_ENTRY_WORDS + sets + tables * WALK_CACHE_WORDS) / 16) * 16
  );
}

/** Bytes of the CPU-state buffer of a machine with `cpus` CPUs. */
export function cpuStatesBytes(cpus: number, mode: Mode): number {
  return cpus * (CPU_STATE_WORDS + tlbWords(tlbGeometry(mode))) * 4;
}

/** First word of `cpu`'s TLB in a buffer of `words` words. */
export function tlbStart(words: number, cpu: number, mode: Mode): number {
  const own = tlbWords(tlbGeometry(mode));
  return (words / (CPU_STATE_WORDS + own)) * CPU_STATE_WORDS + cpu * own;
}
