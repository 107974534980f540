/**
 * The right to run, as a CPU sees it: the small interface through which memory, CPUs and locks meet the scheduler.
 *
 * A CPU without its turn sleeps on a word of its own.  It parks only there: the same word serves locks, interrupts and
 * halts.  A kick is sticky: one that arrives between the look at the condition and `park` makes `park` return at once,
 * so the waiter's loop is `while (!condition()) turn.park()`.
 */

export interface Turn {
  /** Sleeps until kicked, or until `timeoutNs` have passed.  May return without a kick: look at the condition again. */
  park(timeoutNs: number): void;
  /** Ends the present or next `park` of `cpu`. */
  kick(cpu: number): void;
  /** One step of a bounded spin: lets others run, watches for the machine's end. */
  relax(): void;
  /** A point between two operations, where the CPU holds no lock: a used-up slice is given away. */
  yieldSlice(): void;
  /** Sets bit `vector` in the pending word of `cpu` and makes it look. */
  raise(cpu: number, vector: number): void;
  /** Sets bit `bit` in the pending word of `cpu` and makes it look: what hardware does by itself, at nobody's cost. */
  signal(cpu: number, bit: number): void;
  /** Called before pending interrupts are handled: they may not have arrived yet in simulated time. */
  interruptsTaken(): void;
  /** Called after interrupts were handled: a CPU that was run out of turn to handle them gives its turn back. */
  interruptsHandled(): void;
  /** Ends every CPU's run; throws. */
  stopped(): never;
  /** Nanoseconds of this mode's time: host time, simulated time, or steps. */
  nowNs(): number;
  /** Cycles of a nanosecond, where time is simulated. */
  readonly cyclesPerNs?: number;
  /** How long a waiter spins before it parks, in rounds of `relax`.  0 in the serial modes. */
  readonly spinLimit: number;
}
