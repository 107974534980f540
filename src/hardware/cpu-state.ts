/**
 * The CPU-state buffer: what a real CPU keeps inside itself.  Its owner alone accesses it, plainly.
 *
 * Nothing of a CPU's state lives in JavaScript fields, so a snapshot of the buffers is a snapshot of the machine.
 */

import { RANDOM_WORDS } from "../memory/random.ts";
import { align, array, float64, struct, word, wordsIn } from "../memory/struct.ts";
import { VECTORS } from "./vectors.ts";

export const CpuState = struct("cpu_state", {
  irqsEnabled: word("owner-cpu", "flags"),
  /** Nesting of preempt_disable, a held spinlock counts; NEED_RESCHED. */
  preemptCount: word("owner-cpu", "counter"),
  /** Nesting of interrupt handlers. */
  hardirqCount: word("owner-cpu", "counter"),
  /** Nesting of RCU read sections lives in RAM (sync/rcu); this is the task that runs here. */
  current: word("owner-cpu", "pointer:task"),
  /** Operations since the last look at the clock. */
  operations: word("owner-cpu", "counter"),
  idle: word("owner-cpu", "flags"),
  /** Of the stack that is in use; while an interrupt runs the task's is saved, else `savedStackPointer` is 0. */
  stackPointer: word("owner-cpu", "pointer:word"),
  savedStackPointer: word("owner-cpu", "pointer:word"),
  /** The lowest that the stack pointer has been, on the task's stack and on the interrupts'. */
  taskStackMin: word("owner-cpu", "pointer:word"),
  irqStackMin: word("owner-cpu", "pointer:word"),
  random: array(RANDOM_WORDS, "owner-cpu"),
  nextTickNs: float64("owner-cpu"),
  interrupts: float64("owner-cpu", VECTORS),
  ipisSent: float64("owner-cpu"),
  end: align(16),
});

/** In `preemptCount`: call the kernel when preemption is possible again. */
export const NEED_RESCHED = 1 << 31;
/** The nesting in `preemptCount`. */
export const PREEMPT_NESTING = ~NEED_RESCHED;

/** Words of one CPU's state; a whole number of cache lines. */
export const CPU_STATE_WORDS = Math.ceil(wordsIn(CpuState) / 16) * 16;
