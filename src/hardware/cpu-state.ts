/**
 * The CPU-state buffer: what a real CPU keeps inside itself.  Its owner alone accesses it, plainly.
 *
 * Nothing of a CPU's state lives in JavaScript fields, so a snapshot of the buffers is a snapshot of the machine.
 */

import { RANDOM_WORDS } from "../memory/random.ts";
import { align, array, float64, struct, word, wordsIn } from "../memory/struct.ts";
import { VECTOR_NAMES, VECTORS } from "./vectors.ts";

export const CpuState = struct("cpu_state", {
  irqsEnabled: word("owner-cpu", "flags"),
  /** Nesting of preempt_disable; a held spinlock counts. */
  preemptCount: word("owner-cpu", "counter"),
  /** Nesting of interrupt handlers. */
  hardirqCount: word("owner-cpu", "counter"),
  /** Nesting of RCU read sections lives in RAM (sync/rcu); this is the task that runs here. */
  current: word("owner-cpu", "pointer:task"),
  /** Operations since the last look at the clock. */
  operations: word("owner-cpu", "counter"),
  idle: word("owner-cpu", "flags"),
  random: array(RANDOM_WORDS, "owner-cpu"),
  nextTickNs: float64("owner-cpu"),
  interrupts: float64("owner-cpu", VECTORS),
  ipisSent: float64("owner-cpu"),
  end: align(16),
});

/** Words of one CPU's state; a whole number of cache lines. */
export const CPU_STATE_WORDS = Math.ceil(wordsIn(CpuState) / 16) * 16;

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
