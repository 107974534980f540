/**
 * The control buffer: the machine's wiring, outside simulated RAM.
 *
 * Run state, run tokens, each CPU's kick word and pending interrupts.  No kernel structure lives here.  Words are
 * addressed as in RAM, by index into one `Int32Array`.
 *
 * Invariants
 *   I1  a CPU's `state` leaves PARKED or READY only by its own hand or under `schedulerLock`
 *   I2  freeTokens + CPUs whose state is RUNNING == tokens, while schedulerLock is free
 */

import { align, array, float64, struct, word, wordsIn } from "./struct.ts";

/** Buckets of the table that tells whether any CPU sleeps on an address. */
export const SLEEPER_BUCKETS = 256;

export const Control = struct("control", {
  /** 1 + CPU that failed first, or 0; `PANIC_MAIN` when the main thread stops the machine. */
  panic: word("atomic"),
  /** Nonzero asks running programs to end: see StopReason. */
  stop: word("atomic"),
  /** CPUs whose program has not ended. */
  unfinished: word("atomic", "counter"),
  /** CPUs that wait at the present gate, and the gate's generation: see schedule/gate. */
  gateCount: word("atomic", "counter"),
  gateGeneration: word("atomic", "counter"),
  /** The boot CPU's decision whether all go on with another round: see machine/kernel. */
  anotherRound: word("atomic"),
  /** 1 from the moment all CPUs of a run have met at its start. */
  running: word("atomic"),
  lineOne: align(16),
  schedulerLock: word("atomic"),
  freeTokens: word("lock:schedulerLock", "counter"),
  /** CPUs that wait for a token. */
  ready: word("lock:schedulerLock", "counter"),
  /** Host time used by the CPU that was last run: who wakes up is not taken for poorer than this. */
  usedFloorNs: float64("lock:schedulerLock"),
  lineTwo: align(16),
  sleepers: array(SLEEPER_BUCKETS, "atomic", "counter"),
  /** Words of the serial schedulers (schedule/explore). */
  serial: array(64, "lock:schedulerLock"),
});

export const CpuControl = struct("cpu_control", {
  /** Base state (RUNNING, PARKED, READY, OFF) and the KICKED bit: the one word on which this CPU's worker sleeps. */
  state: word("atomic", "flags"),
  lineOne: align(16),
  /** Pending interrupts, one bit a vector. */
  pending: word("atomic", "flags"),
  /** Work for the end of an operation, one bit a kind: see Softirq.  Nobody is woken for it. */
  softPending: word("atomic", "flags"),
  lineTwo: align(16),
  /** What the CPU sleeps on, for wake() and the hang report; 0 when it does not. */
  waitAddress: word("owner-cpu", "pointer:word"),
  waitMask: word("owner-cpu"),
  waitValue: word("owner-cpu"),
  /** Lock that the CPU waits for in a slow path, and its class plus 1; 0 none. */
  waitClass: word("owner-cpu"),
  waitLock: word("owner-cpu", "pointer:lock"),
  /** Host thread id, for pinning; 0 unknown. */
  threadId: word("owner-cpu"),
  /** Host time that this CPU has used, ns: fairness of slices. */
  usedNs: float64("lock:schedulerLock"),
  parks: float64("owner-cpu"),
  slices: float64("owner-cpu"),
  lineThree: align(16),
  /** Words of the serial schedulers for this CPU. */
  serial: array(16, "lock:schedulerLock"),
});

export const CPU_CONTROL_WORDS = wordsIn(CpuControl);
/** First word of the CPU blocks. */
export const CPU_CONTROL_START = Math.ceil(wordsIn(Control) / 16) * 16;

export const RunState = { OFF: 0, RUNNING: 1, PARKED: 2, READY: 3, KICKED: 4 } as const;
export const PANIC_MAIN = -1;

/** First control word of `cpu`. */
export const cpuControl = (cpu: number): number => CPU_CONTROL_START + cpu * CPU_CONTROL_WORDS;

/** Size of the control buffer for `cpus` CPUs, housekeeping ones included. */
export const controlWords = (cpus: number): number => CPU_CONTROL_START + cpus * CPU_CONTROL_WORDS;

export const sleeperBucket = (address: number): number =>
  ((address >> 4) ^ (address >> 12)) & (SLEEPER_BUCKETS - 1);
