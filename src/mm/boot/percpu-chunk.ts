/**
 * The first per-CPU chunk: one unit a CPU, each [static | reserved | dynamic].
 *
 * Units are `unitWords` apart, so that the address of a variable on any CPU is one multiplication away.  A unit is a
 * whole number of pages; what rounding up leaves is added to the dynamic part.
 * Linux: mm/percpu.c pcpu_embed_first_chunk.  Differs: units of all nodes lie in one block.
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

/** What the boot log says of it. */
export function describePerCpuChunk(chunk: PerCpuChunk, cpus: number): string[] {
  const { staticBytes: s, reservedBytes: r, dynamicBytes: d, unitBytes: u } = chunk;
  const all = Array.from({ length: cpus }, (_, cpu) => cpu).join(" ");
  return [
    `percpu: Embedded ${u / PAGE_BYTES} pages/cpu s${s} r${r} d${d} u${u}`,
    `pcpu-alloc: s${s} r${r} d${d} u${u} alloc=${u / PAGE_BYTES}*${PAGE_BYTES}`,
    `pcpu-alloc: [0] ${all}`,
  ];
}
