/**
 * Interrupt vectors: bits of a CPU's pending word, and the names `/proc/interrupts` gives them.
 *
 * Handlers are installed per worker by the module that owns the vector; all workers install the same ones.
 */

export const Vector = {
  /** Local timer tick. */
  TIMER: 0,
  RESCHEDULE: 1,
  /** smp_call_function_*: the call-single queue of this CPU is not empty. */
  CALL_FUNCTION: 2,
  /** The scheduler asks for a quiescent state (RCU). */
  RCU: 3,
  /** Vectors for kernel modules and tests. */
  USER_0: 4,
  USER_1: 5,
} as const;

export const VECTORS = 6;
/** In the pending word: not an interrupt, but a message to the TLB, which is taken with interrupts off, too. */
export const SNOOP = 1 << 30;

/** Bits of a CPU's soft pending word: what it does when an operation ends, or after an interrupt. */
export const Softirq = {
  /** A grace period waits for this CPU. */
  QUIESCENT_STATE: 1,
  /** RCU callbacks are ready, or new. */
  RCU_CALLBACKS: 2,
} as const;

/** Label and description of each vector, in `/proc/interrupts` form. */
export const VECTOR_NAMES: readonly (readonly [label: string, description: string])[] = [
  ["LOC", "Local timer interrupts"],
  ["RES", "Rescheduling interrupts"],
  ["CAL", "Function call interrupts"],
  ["RCU", "RCU quiescent-state requests"],
  ["US0", "User vector 0 interrupts"],
  ["US1", "User vector 1 interrupts"],
];
