/**
 * Interrupt counts, read from outside: the CPUs count, the main thread looks.
 */

import { CPU_STATE_WORDS, CpuState } from "../hardware/cpu-state.ts";
import { VECTOR_NAMES, VECTORS } from "../hardware/vectors.ts";

/** Interrupts taken by `cpu` since boot, by vector. */
export function interruptsOf(states: SharedArrayBuffer, cpu: number): Float64Array {
  return new Float64Array(states, (cpu * CPU_STATE_WORDS + CpuState.interrupts) * 4, VECTORS);
}

/** Interrupts taken since boot, by label of `/proc/interrupts`, summed over CPUs. */
export function interruptCounts(states: SharedArrayBuffer, cpus: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let v = 0; v < VECTORS; v++) {
    let sum = 0;
    for (let cpu = 0; cpu < cpus; cpu++) sum += interruptsOf(states, cpu)[v];
    counts[VECTOR_NAMES[v][0]] = sum;
  }
  return counts;
}
