/**
 * The one door to simulated RAM.
 *
 * Every access of the kernel to shared state goes through a `Memory`.  Three implementations exist (`PlainMemory` here,
 * two serial ones in `schedule/`); the kernel does not know which one it has, and a worker loads one class only, so V8
 * inlines it.
 *
 * *Plain* accesses are for data that a lock guards or that this CPU owns.  *Marked* accesses are for words that race:
 * they are sequentially consistent atomics.  *Waiting* is one operation, and waking is the storer's duty: whoever stores
 * what may end a wait calls `wake`.
 */

import type { LockSteps } from "./lock-steps.ts";
import type { Pointer } from "./units.ts";

export interface Memory {
  // Plain: one word, one byte (byte address = pointer * 4 + lane), one float64 (even pointer).
  read(address: Pointer): number;
  write(address: Pointer, value: number): void;
  readByte(byteAddress: number): number;
  writeByte(byteAddress: number, value: number): void;
  readFloat64(address: Pointer): number;
  writeFloat64(address: Pointer, value: number): void;

  // Marked.  The read-modify-write forms return the value before.
  load(address: Pointer): number;
  store(address: Pointer, value: number): void;
  cas(address: Pointer, expected: number, replacement: number): number;
  add(address: Pointer, value: number): number;
  and(address: Pointer, value: number): number;
  or(address: Pointer, value: number): number;
  exchange(address: Pointer, value: number): number;
  loadByte(byteAddress: number): number;
  storeByte(byteAddress: number, value: number): void;
  casByte(byteAddress: number, expected: number, replacement: number): number;
  /** Exchanges 16 bits at an even byte address. */
  exchangeHalf(byteAddress: number, value: number): number;

  /** The common case of a spinlock in one step; absent where single accesses are seen or charged. */
  readonly lockSteps?: LockSteps;

  // Bulk, in words.
  fill(address: Pointer, words: number, value: number): void;
  copy(to: Pointer, from: Pointer, words: number): void;
  /** Sign of the first difference, 0 when equal. */
  compare(a: Pointer, b: Pointer, words: number): number;

  // Charges: what the code would cost beyond its accesses.  Free of charge outside simulated time.
  /** `count` units of work of one class (memory/work). */
  work(kind: number, count: number): void;
  touchLines(address: Pointer, lines: number): void;

  /**
   * Waits while `(word & mask) === value`; true when the condition ended, false after `timeoutNs` (Infinity: never).
   * Interrupts are answered meanwhile if they are enabled.
   */
  waitWhile(address: Pointer, mask: number, value: number, timeoutNs?: number): boolean;
  /** Ends waits on `address` whose condition may have changed.  Call it after the *marked* store that changed it. */
  wake(address: Pointer): void;
}
