/**
 * The first per-CPU chunk: one unit a CPU, each [static | reserved | dynamic].
 *
 * A unit is a whole number of pages; what rounding up leaves is added to the dynamic part.
 * Linux: mm/percpu.c pcpu_setup_first_chunk.
 */

import { alignUp, PAGE_BYTES, WORD_BYTES } from "../../memory/units.ts";

/** Room for modules' static variables.  Linux: PERCPU_MODULE_RESERVE. */
export const PERCPU_RESERVED_BYTES = 8 << 10;
/** Linux: PERCPU_DYNAMIC_RESERVE. */
export const PERCPU_DYNAMIC_BYTES = 28 << 10;

export interface PerCpuChunk {
  readonly staticBytes: number;
  readonly reservedBytes: number;
  readonly dynamicBytes: number;
  readonly unitBytes: number;
}

/** `staticWords` is what the kernel image declares for each CPU. */
export function planPerCpuChunk(
  staticWords: number,
  reservedBytes = PERCPU_RESERVED_BYTES,
  dynamicBytes = PERCPU_DYNAMIC_BYTES,
): PerCpuChunk {
  const staticBytes = staticWords * WORD_BYTES;
  const unitBytes = alignUp(staticBytes + reservedBytes + dynamicBytes, PAGE_BYTES);
  return { staticBytes, reservedBytes, dynamicBytes: unitBytes - staticBytes - reservedBytes, unitBytes };
}

/** What the boot log says of it; `groups` holds the node of each CPU's unit. */
export function describePerCpuChunk(chunk: PerCpuChunk, groups: readonly number[]): string[] {
  const { staticBytes: s, reservedBytes: r, dynamicBytes: d, unitBytes: u } = chunk;
  const members = new Map<number, number[]>();
  for (const [cpu, group] of groups.entries()) members.set(group, [...(members.get(group) ?? []), cpu]);
  const allocs = [...members].map(([group, cpus]) => `[${group}] ${cpus.join(" ")}`);
  return [
    `percpu: Embedded ${u / PAGE_BYTES} pages/cpu s${s} r${r} d${d} u${u}`,
    `pcpu-alloc: s${s} r${r} d${d} u${u} alloc=${u / PAGE_BYTES}*${PAGE_BYTES}`,
    `pcpu-alloc: ${allocs.join(" ")}`,
  ];
}
